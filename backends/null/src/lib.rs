//! Echoes.
