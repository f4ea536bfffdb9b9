//! Caches of sources that are cut off, change under way, or list what nobody should write.

use super::super::temp::TempFolder;
use super::*;
use inferlay_backend_sdk::ErrorKind;
use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::sync::Mutex;

/// A source in memory that does to a fetch what its script says.
#[derive(Default)]
struct Scripted {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Content and generation, which is the etag.
    files: BTreeMap<String, (Vec<u8>, u32)>,
    script: VecDeque<Act>,
    /// Name and offset of every fetch.
    fetched: Vec<(String, u64)>,
}

#[derive(Clone, Copy)]
enum Act {
    /// The connection ends after so many bytes.
    Cut(usize),
    /// The content ends after so many bytes, as if it were all.
    Short(usize),
    /// The content is longer than it was listed.
    Long,
    /// Somebody puts another content in place of the file.
    Change,
    Remove,
}

impl Scripted {
    fn with(files: &[(&str, &str)]) -> Self {
        let source = Scripted::default();
        files.iter().for_each(|(name, content)| source.put(name, content));
        source
    }

    fn put(&self, name: &str, content: &str) {
        let mut state = self.state.lock().unwrap();
        let generation = state.files.get(name).map_or(0, |(_, generation)| generation + 1);
        state.files.insert(name.to_owned(), (content.into(), generation));
    }

    fn script(self, acts: &[Act]) -> Self {
        self.state.lock().unwrap().script = acts.iter().copied().collect();
        self
    }

    /// What was fetched since it was last asked: `name from offset`.
    fn fetched(&self) -> Vec<String> {
        let fetched = std::mem::take(&mut self.state.lock().unwrap().fetched);
        fetched.into_iter().map(|(name, offset)| format!("{name} from {offset}")).collect()
    }
}

impl Source for Scripted {
    fn name(&self) -> &str {
        "scripted://source"
    }

    fn list(&self) -> Result<Vec<SourceFile>, Error> {
        let state = self.state.lock().unwrap();
        let files = state.files.iter().map(|(name, (content, generation))| SourceFile {
            etag: Some(generation.to_string()),
            ..SourceFile::new(name, content.len() as u64)
        });
        Ok(files.collect())
    }

    fn fetch(
        &self,
        file: &SourceFile,
        offset: u64,
        sink: &mut dyn FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut state = self.state.lock().unwrap();
        state.fetched.push((file.name.clone(), offset));
        let act = state.script.pop_front();
        match act {
            Some(Act::Change) => state.files.get_mut(&file.name).unwrap().1 += 1,
            Some(Act::Remove) => drop(state.files.remove(&file.name)),
            _ => {}
        }
        let changed = Err(Error::new(ErrorKind::FailedPrecondition, format!("'{}' changed", file.name)));
        let Some((content, generation)) = state.files.get(&file.name) else { return changed };
        if Some(generation.to_string()) != file.etag {
            return changed;
        }
        let rest = &content[offset as usize..];
        match act {
            Some(Act::Cut(len)) => {
                sink(&rest[..len.min(rest.len())])?;
                Err(Error::unavailable("connection reset"))
            }
            Some(Act::Short(len)) => sink(&rest[..len]),
            Some(Act::Long) => sink(rest).and_then(|()| sink(b"more")),
            // In pieces, as from a network.
            _ => rest.chunks(3).try_for_each(sink),
        }
    }
}

fn update(cache: &TempFolder, source: &dyn Source) -> Result<Replica, Error> {
    Cache::open(cache.path(), source.name())?.update(source)
}

fn read(replica: &Replica, name: &str) -> String {
    fs::read_to_string(replica.folder.join(name)).unwrap()
}

/// The numbers of the replicas that can be seen.
fn replicas(cache: &TempFolder) -> Vec<String> {
    let source = fs::read_dir(cache.path()).unwrap().next().unwrap().unwrap().path();
    let names = fs::read_dir(source.join("replicas")).unwrap().map(|entry| entry.unwrap());
    let folders = names.filter(|entry| entry.file_type().unwrap().is_dir());
    let mut names: Vec<_> = folders.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

const FILES: [(&str, &str); 3] =
    [("a/1/model", "the weights of a"), ("a/config.yaml", "config"), ("b/1/model", "the weights of b")];

#[test]
fn a_replica_holds_what_was_listed_and_is_fetched_once() {
    let (cache, source) = (TempFolder::with(&[]), Scripted::with(&FILES));
    source.put("b/2/empty", "");
    let replica = update(&cache, &source).unwrap();
    for (name, content) in FILES {
        assert_eq!(read(&replica, name), content);
    }
    assert_eq!(read(&replica, "b/2/empty"), "");
    assert_eq!(source.fetched().len(), 3);
    let again = update(&cache, &source).unwrap();
    assert_eq!((again.folder, source.fetched().len()), (replica.folder, 0));
}

#[test]
fn a_fetch_that_is_cut_off_goes_on_where_it_ended() {
    let (cache, source) =
        (TempFolder::with(&[]), Scripted::with(&FILES).script(&[Act::Cut(5), Act::Cut(1), Act::Short(2)]));
    let replica = update(&cache, &source).unwrap();
    let expected = ["a/1/model from 0", "a/1/model from 5", "a/1/model from 6", "a/1/model from 8"];
    assert_eq!(source.fetched()[..4], expected);
    assert_eq!(read(&replica, "a/1/model"), "the weights of a");
}

#[test]
fn the_next_process_goes_on_where_the_last_one_ended() {
    let (cache, source) = (TempFolder::with(&[]), Scripted::with(&FILES).script(&[Act::Cut(5), Act::Cut(0)]));
    let error = update(&cache, &source).unwrap_err();
    assert_eq!(error.message(), "source 'scripted://source': connection reset");
    assert!(replicas(&cache).is_empty());
    source.fetched();
    let replica = update(&cache, &source).unwrap();
    assert_eq!(source.fetched()[0], "a/1/model from 5");
    assert_eq!(read(&replica, "a/1/model"), "the weights of a");
}

#[test]
fn what_was_begun_of_another_content_is_begun_anew() {
    let (cache, source) = (TempFolder::with(&[]), Scripted::with(&FILES).script(&[Act::Cut(5), Act::Cut(0)]));
    update(&cache, &source).unwrap_err();
    source.put("a/1/model", "THE WEIGHTS OF A");
    source.fetched();
    let replica = update(&cache, &source).unwrap();
    assert_eq!(source.fetched()[0], "a/1/model from 0");
    assert_eq!(read(&replica, "a/1/model"), "THE WEIGHTS OF A");
}

#[test]
fn what_is_behind_the_mark_is_not_taken_for_content() {
    let (cache, source) = (TempFolder::with(&[]), Scripted::with(&FILES).script(&[Act::Cut(5), Act::Cut(0)]));
    update(&cache, &source).unwrap_err();
    let folder = fs::read_dir(cache.path()).unwrap().next().unwrap().unwrap().path();
    // As after a power cut: longer than what was brought to the disk.
    fs::write(folder.join("staging/data/a/1/model"), "the w\0\0\0\0").unwrap();
    source.fetched();
    let replica = update(&cache, &source).unwrap();
    assert_eq!(source.fetched()[0], "a/1/model from 5");
    assert_eq!(read(&replica, "a/1/model"), "the weights of a");
}

#[test]
fn a_file_that_changes_after_it_was_listed_is_listed_anew() {
    for act in [Act::Change, Act::Remove, Act::Long] {
        let (cache, source) = (TempFolder::with(&[]), Scripted::with(&FILES).script(&[act]));
        let replica = update(&cache, &source).unwrap();
        assert_eq!(replica.folder.join("a/1/model").exists(), !matches!(act, Act::Remove));
        assert_eq!(read(&replica, "b/1/model"), "the weights of b");
    }
}

#[test]
fn a_source_that_never_rests_is_given_up() {
    let (cache, source) = (TempFolder::with(&[]), Scripted::with(&FILES).script(&[Act::Change; 5]));
    let error = update(&cache, &source).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.message().contains("found other files after each of 5 listings: 'a/1/model' changed"), "{error}");
    assert!(replicas(&cache).is_empty());
}

#[test]
fn a_file_that_ends_early_every_time_is_an_error() {
    let (cache, source) = (TempFolder::with(&[]), Scripted::with(&FILES).script(&[Act::Short(4), Act::Short(0)]));
    let error = update(&cache, &source).unwrap_err();
    assert!(error.message().ends_with("file 'a/1/model': found the end after 4 bytes, expected 16"), "{error}");
}

#[test]
fn only_what_is_new_is_fetched_and_the_old_stays_while_it_is_held() {
    let (cache, source) = (TempFolder::with(&[]), Scripted::with(&FILES));
    let old = update(&cache, &source).unwrap();
    source.fetched();
    source.put("b/1/model", "other weights");
    let new = update(&cache, &source).unwrap();
    assert_eq!(source.fetched(), ["b/1/model from 0"]);
    assert_eq!((read(&old, "b/1/model"), read(&new, "b/1/model")), ("the weights of b".into(), "other weights".into()));
    assert_eq!(read(&new, "a/1/model"), "the weights of a");
    assert_eq!(replicas(&cache), ["1", "2"]);
    drop(old);
    update(&cache, &source).unwrap();
    assert_eq!(replicas(&cache), ["2"]);
}

#[test]
fn a_roll_back_is_a_new_replica() {
    let (cache, source) = (TempFolder::with(&[]), Scripted::with(&FILES));
    let first = update(&cache, &source).unwrap();
    source.put("a/config.yaml", "other");
    update(&cache, &source).unwrap();
    source.state.lock().unwrap().files.insert("a/config.yaml".into(), (b"config".to_vec(), 0));
    let last = update(&cache, &source).unwrap();
    assert_eq!(read(&last, "a/config.yaml"), "config");
    assert_ne!(first.folder, last.folder);
}

#[test]
fn a_file_that_is_shared_with_a_replica_is_never_written_to() {
    let (cache, source) = (TempFolder::with(&[]), Scripted::with(&FILES));
    let old = update(&cache, &source).unwrap();
    // `a/1/model` is linked from the replica, then the fetch of `b/1/model` fails.
    source.put("b/1/model", "other weights");
    let source = source.script(&[Act::Cut(0)]);
    update(&cache, &source).unwrap_err();
    source.put("a/1/model", "WEIGHTS OF ANOTHER");
    let new = update(&cache, &source).unwrap();
    assert_eq!(
        (read(&old, "a/1/model"), read(&new, "a/1/model")),
        ("the weights of a".into(), "WEIGHTS OF ANOTHER".into())
    );
}

#[test]
fn a_file_may_take_the_place_of_a_folder_and_a_folder_of_a_file() {
    let cache = TempFolder::with(&[]);
    let before = Scripted::with(&[("m/1/a/b", "folder"), ("m/1/c", "file"), ("m/2", "last")]);
    update(&cache, &before.script(&[Act::Cut(6), Act::Cut(4), Act::Cut(0)])).unwrap_err();
    let after = Scripted::with(&[("m/1/a", "file now"), ("m/1/c/d", "folder now"), ("m/2", "last")]);
    let replica = update(&cache, &after).unwrap();
    assert_eq!((read(&replica, "m/1/a"), read(&replica, "m/1/c/d")), ("file now".into(), "folder now".into()));
}

#[test]
fn a_name_that_leads_out_is_never_written() {
    for name in ["../../../evil", "/tmp/evil", "m/../../evil", "a/1/model/evil"] {
        let (folder, source) = (TempFolder::with(&["deep/cache/x"]), Scripted::with(&FILES));
        source.put(name, "evil");
        let error = Cache::open(&folder.join("deep/cache"), source.name()).unwrap().update(&source).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArg, "{name}: {error}");
        assert!(error.message().starts_with("source 'scripted://source': file "), "{error}");
        assert!(source.fetched().is_empty() && !folder.join("evil").exists() && !folder.join("deep/evil").exists());
    }
}

#[test]
fn a_cache_of_another_source_is_not_used() {
    let cache = TempFolder::with(&[]);
    let source = Scripted::with(&FILES);
    drop(update(&cache, &source).unwrap());
    let folder = fs::read_dir(cache.path()).unwrap().next().unwrap().unwrap().path();
    fs::write(folder.join("source"), "scripted://other").unwrap();
    let error = update(&cache, &source).unwrap_err();
    assert!(
        error.message().contains("found the cache of 'scripted://other', expected of 'scripted://source'"),
        "{error}"
    );
}

#[test]
fn a_folder_is_a_source() {
    let (cache, folder) = (TempFolder::with(&[]), TempFolder::with(&["a/1/model", "a/config.yaml"]));
    let source = FolderSource::new(folder.path());
    let replica = update(&cache, &source).unwrap();
    assert_eq!(
        (read(&replica, "a/1/model"), read(&replica, "a/config.yaml")),
        ("a/1/model".into(), "a/config.yaml".into())
    );
    let listed = source.list().unwrap();
    folder.write("a/1/model", b"another content");
    let error = source.fetch(&listed[0], 0, &mut |_| Ok(())).unwrap_err();
    assert_eq!(error.message(), "file 'a/1/model': found another one meanwhile");
    fs::remove_file(folder.join("a/1/model")).unwrap();
    let error = source.fetch(&listed[0], 0, &mut |_| Ok(())).unwrap_err();
    assert_eq!(error.message(), "file 'a/1/model': found none meanwhile");
}
