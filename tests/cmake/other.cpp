// A second translation unit with the header: all in it must be inline.
#include <inferlay.hpp>
#include <inferlay.hpp>

const char *version_from_elsewhere() { return inferlay::version(); }

std::string build_from_elsewhere() { return inferlay::build(); }
