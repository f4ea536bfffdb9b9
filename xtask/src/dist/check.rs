//! What was written for C and C++ programs, proven from outside: unpacked elsewhere, and used by projects that know
//! nothing but that folder.
//!
//! ```text
//!   tree -> archive -> unpacked at a path with a space
//!             headers: every compiler and language version, all warnings
//!             tests/cmake, examples/c, examples/cpp: built by CMake, run, their words compared
//!               plain, under valgrind, and with AddressSanitizer in the C and C++ side
//!             the commands of the README, word for word
//! ```

use super::{CORE_BYTES_MAX, Written, program, table, write_to};
use crate::House;
use crate::machine;
use crate::outputs;
use crate::python;
use crate::report::{Outcome, Tally};
use crate::step::Step;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// How compilers are asked to look at the headers.
const WARNINGS: &str = "-Wall -Wextra -Wpedantic -Werror -fsyntax-only";

/// A project that CMake builds, and its programs.
struct Project {
    folder: &'static str,
    programs: &'static [Program],
}

/// A program, and the line that it ends with.
struct Program {
    name: &'static str,
    says: Says,
}

/// What a program says when all is well.
enum Says {
    /// This line.
    Line(&'static str),
    /// An accuracy, given the repository of the examples and this backend.
    Accuracy(&'static str),
}

const fn says(name: &'static str, line: &'static str) -> Program {
    Program { name, says: Says::Line(line) }
}

const SERVES_C: &str = concat!("inferlay ", env!("CARGO_PKG_VERSION"), " serves C");
const SERVES_CPP: &str = concat!("inferlay ", env!("CARGO_PKG_VERSION"), " serves C++");
const COPY: &str = concat!("inferlay ", env!("CARGO_PKG_VERSION"), " has a copy");
const NEIGHBOUR: &str = concat!("inferlay ", env!("CARGO_PKG_VERSION"), " has a neighbour");
const HELLO: &str = "double version 1: twice 1.5 is 3, twice 21 is 42";
const DIGITS: Program = Program { name: "digits", says: Says::Accuracy("onnxruntime") };

const PROJECTS: &[Project] = &[
    Project {
        folder: "tests/cmake",
        programs: &[
            says("c-shared", SERVES_C),
            says("c-static", SERVES_C),
            says("c-pkg-config", SERVES_C),
            says("c-copies", COPY),
            says("c-neighbours", NEIGHBOUR),
            says("cpp-shared", SERVES_CPP),
            says("cpp-static", SERVES_CPP),
        ],
    },
    Project {
        folder: "examples/c",
        programs: &[
            says("hello", HELLO),
            says("async", "100 answers, which add up to 10100"),
            says("queue", "100 answers, which add up to 10100"),
            DIGITS,
        ],
    },
    Project {
        folder: "examples/cpp",
        programs: &[
            says("hello", HELLO),
            says("async", "callbacks: 100 answers, which add up to 10100"),
            says("queue", "100 answers, which add up to 10100"),
            DIGITS,
        ],
    },
];

/// The commands that the README shows for pkg-config. Each makes `program`, of `program.c`.
const README_COMMANDS: [&str; 2] = [
    "cc program.c -o program $(pkg-config --cflags --libs inferlay) -Wl,-rpath,$(pkg-config --variable=libdir inferlay)",
    "cc program.c -o program $(pkg-config --cflags --libs inferlay-static)",
];

/// What the C and C++ side is built with.
#[derive(Clone, Copy, PartialEq)]
enum Build {
    Plain,
    Sanitized,
}

/// Builds everything but tract, which is slow to optimise, and checks it.
pub(crate) fn stage(house: &House) -> Outcome {
    let made = || {
        tools(house)?;
        let tree = house.target.join("dist-tree");
        neighbour(house)?;
        let written = write_to(house, &tree, &["tract"])?;
        print!("{}", table(&written.sizes));
        let prefix = unpack(house, &written.archive)?;
        Ok((written, prefix))
    };
    match made() {
        Err(why) => Err(why).into(),
        Ok((written, prefix)) => check(house, &written, &prefix),
    }
}

/// Installs what is missing.
fn tools(house: &House) -> Result<(), String> {
    let tools =
        [("cc", "gcc"), ("c++", "g++"), ("cmake", "cmake"), ("pkg-config", "pkg-config"), ("valgrind", "valgrind")];
    let is_missing = |tool: &str| Step::new(house, tool).args(["--version"]).ask().is_err();
    let missing: Vec<_> = tools.iter().filter(|(tool, _)| is_missing(tool)).map(|(_, package)| *package).collect();
    if missing.is_empty() { Ok(()) } else { machine::packages(house, &missing) }
}

/// Where the static library lies that stands beside ours in a program.
fn neighbour_path(house: &House) -> PathBuf {
    house.target.join("dist-check/libneighbour.a")
}

fn neighbour(house: &House) -> Result<(), String> {
    let words = "tests/cmake/neighbour.rs --edition 2021 --crate-type staticlib -C panic=unwind -o";
    let library = neighbour_path(house);
    fs::create_dir_all(library.with_file_name("")).map_err(|error| format!("{}: {error}", library.display()))?;
    Step::new(house, "rustc").args(words.split(' ')).args([library]).run()
}

/// Unpacks the archive where nothing was built, and where a careless script would stumble.
fn unpack(house: &House, archive: &Path) -> Result<PathBuf, String> {
    let place = house.target.join("dist-check/a stranger");
    if place.exists() {
        fs::remove_dir_all(&place).map_err(|error| format!("{}: {error}", place.display()))?;
    }
    fs::create_dir_all(&place).map_err(|error| format!("{}: {error}", place.display()))?;
    let tar = Step::new(house, "tar").args(["--strip-components=1", "--extract", "--file"]).args([archive]);
    tar.args(["--directory".as_ref(), place.as_os_str()]).run()?;
    Ok(place)
}

fn check(house: &House, written: &Written, prefix: &Path) -> Outcome {
    let mut tally = Tally::default();
    tally.add("size", size(written));
    tally.add("symbols", symbols(house, prefix));
    tally.add("bin/inferlay", program(house, prefix));
    let compilers = headers(house, prefix, &mut tally);
    for (build, project) in
        [Build::Plain, Build::Sanitized].iter().flat_map(|build| PROJECTS.iter().map(move |p| (build, p)))
    {
        match built(house, prefix, *build, project) {
            Ok(folder) => run(house, *build, project, &folder, &mut tally),
            Err(why) => tally.add(project.folder, Err(why)),
        }
    }
    tally.add("readme", readme_program(house, prefix));
    tally.add("static with a backend", beside_the_program(house, prefix));
    for (at, command) in README_COMMANDS.into_iter().enumerate() {
        tally.add("readme", readme(house, prefix, at, command));
    }
    tally.outcome(format!("libinferlay.so has {} kB; headers by {compilers}", core_bytes(written).div_ceil(1000)))
}

fn core_bytes(written: &Written) -> u64 {
    written.sizes.iter().find(|(name, _)| name.contains("libinferlay.so")).map_or(u64::MAX, |(_, bytes)| *bytes)
}

fn size(written: &Written) -> Result<(), String> {
    match core_bytes(written) {
        bytes if bytes <= CORE_BYTES_MAX => Ok(()),
        bytes => Err(format!("libinferlay.so has {bytes} bytes, expected {CORE_BYTES_MAX} at most")),
    }
}

/// The program says what it is, is completed by each shell, and finds the backends that lie beside it.
fn program(house: &House, prefix: &Path) -> Result<(), String> {
    let inferlay = || Step::new(house, prefix.join("bin/inferlay"));
    let version = inferlay().args(["--version"]).ask()?;
    if !version.trim_end().ends_with(env!("CARGO_PKG_VERSION")) {
        return Err(format!("it says {version:?}, expected {}", env!("CARGO_PKG_VERSION")));
    }
    for (shell, script) in program::COMPLETIONS {
        if !super::read(&prefix.join(script))?.contains("inferlay") {
            return Err(format!("{script}: found nothing about inferlay, expected a script for {shell}"));
        }
    }
    // Without a backend that reads it, the digits would be an error.
    inferlay().args(["lint", "--strict", "examples/models"]).run()
}

/// Both libraries show the functions of the header and nothing else.
fn symbols(house: &House, prefix: &Path) -> Result<(), String> {
    let lib = prefix.join("lib");
    let shared =
        shown(&Step::new(house, "nm").args(["-D", "--defined-only"]).args([lib.join("libinferlay.so")]).ask()?);
    let fixed = shown(&Step::new(house, "nm").args(["-g", "--defined-only"]).args([lib.join("libinferlay.a")]).ask()?);
    let header = super::read(&prefix.join("include/inferlay.h"))?;
    for (name, found) in [("libinferlay.so", &shared), ("libinferlay.a", &fixed)] {
        let is_declared = |symbol: &&String| header.contains(&format!("{symbol}("));
        if let Some(stray) = found.iter().find(|symbol| !is_declared(symbol)) {
            return Err(format!("{name} shows `{stray}`, which inferlay.h does not declare"));
        }
    }
    let missing = shared.symmetric_difference(&fixed).next();
    missing.map_or(Ok(()), |symbol| Err(format!("only one of the libraries shows `{symbol}`")))
}

/// The names in what `nm` prints: address, kind, name.
fn shown(table: &str) -> BTreeSet<String> {
    table.lines().filter_map(|line| line.split(' ').nth(2).map(str::to_owned)).collect()
}

/// Compiles the headers alone, by each compiler there is: which they were.
fn headers(house: &House, prefix: &Path, tally: &mut Tally) -> String {
    let languages =
        [("tests/cmake/program.c", &["c99", "c11"][..]), ("tests/cmake/program.cpp", &["c++17", "c++20"][..])];
    let families = [["gcc", "g++"], ["clang", "clang++"]];
    let is_there =
        |family: &&[&str; 2]| family.iter().all(|name| Step::new(house, name).args(["--version"]).ask().is_ok());
    let there: Vec<_> = families.iter().filter(is_there).collect();
    for family in &there {
        for ((source, standards), compiler) in languages.iter().zip(family.iter()) {
            for standard in *standards {
                let step = Step::new(house, compiler).args(WARNINGS.split(' ')).args([format!("-std={standard}")]);
                let step = step.args(["-I".as_ref(), prefix.join("include").as_os_str(), source.as_ref()]);
                tally.add(source, step.run());
            }
        }
    }
    there.iter().map(|family| family[0]).collect::<Vec<_>>().join(" and ")
}

/// Builds a project: where its programs are.
fn built(house: &House, prefix: &Path, build: Build, project: &Project) -> Result<PathBuf, String> {
    let kind = if build == Build::Plain { "plain" } else { "sanitized" };
    let folder = house.target.join("dist-check").join(kind).join(project.folder);
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    let flags = match build {
        Build::Plain => "-O1 -g",
        Build::Sanitized => "-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all",
    };
    Step::new(house, "cmake")
        .args(["--no-warn-unused-cli", "-S", project.folder, "-B"])
        .args([&folder])
        .args([format!("-DNEIGHBOUR={}", neighbour_path(house).display())])
        .args([format!("-DCMAKE_PREFIX_PATH={}", prefix.display())])
        .args([format!("-DCMAKE_C_FLAGS={flags}"), format!("-DCMAKE_CXX_FLAGS={flags}")])
        .run()?;
    Step::new(house, "cmake")
        .args(["--build".as_ref(), folder.as_os_str(), "--parallel".as_ref(), "2".as_ref()])
        .run()?;
    Ok(folder)
}

/// Runs the programs of a project. ONNX Runtime is not run under valgrind, which would tell of that and not of us.
fn run(house: &House, build: Build, project: &Project, folder: &Path, tally: &mut Tally) {
    for program in project.programs {
        let path = folder.join(program.name);
        let name = format!("{}/{}", project.folder, program.name);
        tally.add(&name, told(house, Step::new(house, &path), &program.says));
        if let (Build::Plain, Says::Line(_)) = (build, &program.says) {
            // What is only possibly lost is reached by a pointer into it, as every `Arc` of Rust is.
            let words = "--quiet --leak-check=full --show-leak-kinds=definite,indirect \
                         --errors-for-leak-kinds=definite,indirect --error-exitcode=99";
            let step = Step::new(house, "valgrind").args(words.split_whitespace()).args([&path]);
            tally.add(&format!("{name} under valgrind"), told(house, step, &program.says));
        }
    }
}

/// Runs a program and compares what it says.
fn told(house: &House, step: Step, says: &Says) -> Result<(), String> {
    match says {
        Says::Line(line) => {
            let told = step.tell();
            told.end?;
            match told.text.lines().last() {
                Some(last) if last == *line => Ok(()),
                last => Err(format!("it ended with {last:?}, expected {line:?}")),
            }
        }
        Says::Accuracy(backend) => {
            // Found as on a user's machine: by the environment that is active.
            let venv = python::venv(house)?;
            let told = step.args(["examples/models", backend]).env("VIRTUAL_ENV", venv).tell();
            told.end?;
            outputs::quickstart(&told.text).map(drop)
        }
    }
}

/// A program that is linked statically finds backends beside itself: the digits, by the plugin of ONNX Runtime.
fn beside_the_program(house: &House, prefix: &Path) -> Result<(), String> {
    let folder = house.target.join("dist-check/beside");
    let backend = Path::new("inferlay/backends/libinferlay_backend_onnxruntime.so");
    super::copy(&prefix.join("lib").join(backend), &folder.join(backend))?;
    let program = folder.join("digits");
    let step =
        Step::new(house, "cc").args(["-D_GNU_SOURCE", "examples/c/digits.c", "-I"]).args([prefix.join("include")]);
    let step = step.args([prefix.join("lib/libinferlay.a"), "-o".into(), program.clone()]);
    step.args("-lgcc_s -lutil -lrt -lpthread -lm -ldl -lc".split(' ')).run()?;
    told(house, Step::new(house, program), &DIGITS.says)
}

/// Compiles the C++ program that the README shows.
fn readme_program(house: &House, prefix: &Path) -> Result<(), String> {
    let readme = super::read(&house.root.join("README.md"))?;
    let block = readme.split("```cpp\n").nth(1).and_then(|rest| rest.split("```").next());
    let source = house.target.join("dist-check/readme.cpp");
    super::put(&source, block.ok_or("README.md: found no block of C++")?)?;
    let step = Step::new(house, "c++").args(WARNINGS.split(' ')).args(["-std=c++17", "-I"]);
    step.args([prefix.join("include"), source]).run()
}

/// Runs a command of the README, and the program that it makes.
fn readme(house: &House, prefix: &Path, at: usize, command: &str) -> Result<(), String> {
    let folder = house.target.join(format!("dist-check/readme-{at}"));
    super::copy(&house.root.join("tests/cmake/program.c"), &folder.join("program.c"))?;
    let script = format!("cd '{}' && {command}", folder.display());
    // A path with a space would need quotes that nobody writes in such a command.
    let plain = house.target.join("dist-check/prefix");
    let _absent = fs::remove_file(&plain);
    std::os::unix::fs::symlink(prefix, &plain).map_err(|error| format!("{}: {error}", plain.display()))?;
    let packages = plain.join("lib/pkgconfig");
    Step::new(house, "sh").args(["-c", &script]).env("PKG_CONFIG_PATH", packages).run()?;
    told(house, Step::new(house, folder.join("program")), &Says::Line(SERVES_C))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_shows_the_commands_that_are_run() {
        let readme = super::super::read(&House::new(false).root.join("README.md")).unwrap();
        for command in README_COMMANDS {
            assert!(readme.contains(command), "{command}");
        }
    }

    #[test]
    fn every_program_of_a_project_is_run() {
        for project in PROJECTS {
            let path = House::new(false).root.join(project.folder).join("CMakeLists.txt");
            let lists = super::super::read(&path).unwrap();
            let named = |line: &str| line.trim().strip_prefix("add_executable(")?.split(' ').next().map(str::to_owned);
            let each = |line: &str| line.trim().strip_prefix("foreach(name ")?.strip_suffix(')').map(str::to_owned);
            let mut names: Vec<_> = lists.lines().filter_map(named).filter(|name| name != "${name}").collect();
            names.extend(
                lists.lines().filter_map(each).flat_map(|all| all.split(' ').map(str::to_owned).collect::<Vec<_>>()),
            );
            names.sort();
            let mut run: Vec<_> = project.programs.iter().map(|program| program.name).collect();
            run.sort_unstable();
            assert_eq!(names, run, "{}", project.folder);
        }
    }
}
