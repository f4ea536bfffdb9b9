//! Runs the program over folders that a test makes.

#![allow(dead_code, unreachable_pub, reason = "every test binary is a crate of its own and uses a part of it")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// A folder with these files, gone with the value.
pub struct Folder(PathBuf);

impl Folder {
    pub fn with(files: &[(&str, &str)]) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("cli-{}-{number}", std::process::id()));
        _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        let folder = Folder(path);
        files.iter().for_each(|(name, text)| folder.write(name, text));
        folder
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub fn read(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.0.join(name)).ok()
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Every file and folder below, sorted.
    pub fn listed(&self) -> Vec<String> {
        let (mut folders, mut found) = (vec![self.0.clone()], Vec::new());
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    found.push(path.strip_prefix(&self.0).unwrap().to_str().unwrap().to_owned());
                }
            }
        }
        found.sort();
        found
    }

    /// What the program says in this folder, asked with these words.
    pub fn ask(&self, words: &[&str]) -> Said {
        self.ask_with(words, "", &[])
    }

    /// The same with text on standard input and variables of the environment.
    pub fn ask_with(&self, words: &[&str], input: &str, variables: &[(&str, &str)]) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_inferlay"));
        command.current_dir(&self.0).args(words).env_remove("NO_COLOR").envs(variables.iter().copied());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A program that reads nothing may be gone already.
        _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Said { code: output.status.code(), output: text(output.stdout), errors: text(output.stderr) }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.0);
    }
}

/// What the program said.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub output: String,
    pub errors: String,
}

impl Said {
    /// Its output, when it ended with this code and said nothing beside.
    pub fn output_of(self, code: i32) -> String {
        assert_eq!((self.code, &*self.errors), (Some(code), ""), "{self:?}");
        self.output
    }

    /// Why it could not do what it was asked.
    pub fn failure(self) -> String {
        assert_eq!((self.code, &*self.output), (Some(1), ""), "{self:?}");
        self.errors.strip_prefix("inferlay: error: ").unwrap_or_else(|| panic!("{}", self.errors)).trim_end().to_owned()
    }
}

/// A config that `null` serves.
pub const ECHO: &str = "backend: 'null'\ninput: {name: x, data_type: FP32, dims: 2}\n";
