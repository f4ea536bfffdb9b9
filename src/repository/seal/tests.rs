//! Seals, at the door of the room: what is found after sealing and meddling, and what is admitted.

use super::super::temp::TempFolder;
use super::super::{Found, Repositories, Repository, in_memory, scan, scan_all};
use super::*;
use std::fs;

const FILES: [&str; 6] =
    ["m/config.yaml", "m/labels.txt", "m/1/model.bin", "m/1/parts/a", "m/2/model.bin", "m/2/.hidden"];

/// A repository with one model of two versions, sealed.
fn sealed(algorithm: Algorithm) -> TempFolder {
    let repository = TempFolder::with(&FILES);
    let report = seal(repository.join("m"), algorithm, None).unwrap();
    assert_eq!(report.files, 5);
    repository
}

fn found(repository: &TempFolder) -> Found {
    scan(&[repository.path().to_owned()], None).unwrap()
}

/// What keeps each version from being loaded, or the model from being found.
fn refusals(repository: &TempFolder) -> Vec<String> {
    let found = found(repository);
    let Some(model) = found.models.get("m") else { return vec![found.broken["m"].to_string()] };
    let admit = |version: &u64| Trust::default().admit(model, *version);
    let told = model.versions.keys().map(|version| admit(version).err().map(|error| format!("{version}: {error}")));
    told.flatten().collect()
}

#[test]
fn a_sealed_model_is_admitted_and_read() {
    for algorithm in [Algorithm::Sha256, Algorithm::Blake3] {
        let repository = sealed(algorithm);
        assert!(refusals(&repository).is_empty());
        let files = &found(&repository).models["m"].versions[&1];
        assert_eq!(files.names(), ["model.bin", "parts/a"]);
        assert_eq!(files.read("./parts/a").unwrap(), b"m/1/parts/a");
        assert_eq!(files.path("model.bin").unwrap(), None);
        for name in ["../2/model.bin", "../config.yaml", ".hidden", "gone", "parts"] {
            assert_eq!(files.read(name).unwrap_err().kind(), ErrorKind::NotFound, "{name}");
            assert_eq!(files.path(name).unwrap_err().kind(), ErrorKind::NotFound, "{name}");
        }
        let second = &found(&repository).models["m"].versions[&2];
        assert!(second.read(".hidden").unwrap_err().message().contains("found no such file in inferlay.manifest"));
    }
}

#[test]
fn what_was_changed_is_told_and_spares_the_other_version() {
    type Meddle = fn(&TempFolder);
    let rows: [(Meddle, &[&str]); 10] = [
        (
            |at| at.write("m/1/model.bin", b"m/1/model.bix"),
            &["1: FAILED_PRECONDITION: file '1/model.bin': found SHA256 "],
        ),
        (
            |at| at.write("m/1/model.bin", b"short"),
            &["1: FAILED_PRECONDITION: file '1/model.bin': found 5 bytes, expected 13"],
        ),
        (
            |at| fs::remove_file(at.join("m/1/parts/a")).unwrap(),
            &["1: FAILED_PRECONDITION: file '1/parts/a': found no file"],
        ),
        (
            |at| at.write("m/2/parts/b", b""),
            &["2: FAILED_PRECONDITION: file '2/parts/b': found a file that inferlay.manifest"],
        ),
        (|at| at.write("m/3/model.bin", b""), &["3: FAILED_PRECONDITION: file '3/model.bin': found a file that"]),
        (
            |at| at.write("m/config.yaml", b"m/config.yamx"),
            &["FAILED_PRECONDITION: model 'm': file 'config.yaml': found SHA256"],
        ),
        (|at| at.write("m/extra.txt", b""), &["FAILED_PRECONDITION: model 'm': file 'extra.txt': found a file that"]),
        (
            |at| fs::remove_dir_all(at.join("m/2")).unwrap(),
            &["FAILED_PRECONDITION: model 'm': file '2/model.bin': found no file"],
        ),
        (
            |at| at.write("m/labels.txt", b"other labels"),
            &["1: FAILED_PRECONDITION: file 'labels.txt': found SHA256", "2: FAILED_PRECONDITION: file 'labels.txt'"],
        ),
        (|at| at.write("m/.hidden", b"passed over"), &[]),
    ];
    for (at, (meddle, expected)) in rows.into_iter().enumerate() {
        let repository = sealed(Algorithm::Sha256);
        meddle(&repository);
        let refusals = refusals(&repository);
        assert_eq!(refusals.len(), expected.len(), "row {at}: {refusals:?}");
        for (refusal, expected) in refusals.iter().zip(expected) {
            assert!(refusal.starts_with(expected), "row {at}: no {expected:?} in: {refusal}");
        }
    }
}

#[test]
fn a_model_without_its_config_is_not_the_one_that_was_sealed() {
    let repository = sealed(Algorithm::Blake3);
    fs::remove_file(repository.join("m/config.yaml")).unwrap();
    let refusals = refusals(&repository);
    assert!(refusals[0].contains("file 'config.yaml': found no file, expected one"), "{refusals:?}");
}

#[test]
fn a_file_that_changes_after_it_was_admitted_is_not_read() {
    let repository = sealed(Algorithm::Blake3);
    let found = found(&repository);
    let model = &found.models["m"];
    Trust::default().admit(model, 1).unwrap();
    repository.write("m/1/model.bin", b"m/1/model.bix");
    let error = model.versions[&1].read("model.bin").unwrap_err();
    assert!(error.message().starts_with("file '1/model.bin': found BLAKE3 "), "{error}");
}

#[test]
fn a_folder_without_versions_is_sealed_whole() {
    let repository = TempFolder::with(&["m/config.yaml", "m/model.bin", "m/sub/b"]);
    seal(repository.join("m"), Algorithm::Sha256, None).unwrap();
    assert!(refusals(&repository).is_empty());
    assert_eq!(found(&repository).models["m"].versions[&1].names(), ["model.bin", "sub/b"]);
    repository.write("m/sub/b", b"m/sub/x");
    assert!(refusals(&repository)[0].starts_with("1: FAILED_PRECONDITION: file 'sub/b': found SHA256"));
}

#[test]
fn a_manifest_that_cannot_be_read_breaks_its_model() {
    let rows: [(&str, &[u8], &str); 3] = [
        ("m/inferlay.manifest", b"nonsense", "model 'm': inferlay.manifest: line 1: found 'nonsense'"),
        ("m/inferlay.manifest", b"\xff", "inferlay.manifest: found a byte at offset 0 that is not UTF-8"),
        ("m/inferlay.manifest.sig", b"\xff", "inferlay.manifest.sig: found a byte at offset 0 that is not UTF-8"),
    ];
    for (name, content, message) in rows {
        let repository = sealed(Algorithm::Sha256);
        repository.write(name, content);
        let refusals = refusals(&repository);
        assert!(refusals[0].contains(message), "{refusals:?}");
    }
}

#[test]
fn who_signed_decides() {
    let (key, other) = (SigningKey::from_bytes(&[1; 32]), SigningKey::from_bytes(&[2; 32]));
    let trust = |keys: &[&SigningKey], change: fn(&mut Trust)| {
        let mut trust = Trust::default();
        keys.iter().for_each(|key| trust.add_key(key.public()));
        change(&mut trust);
        trust
    };
    let nothing: fn(&mut Trust) = |_| {};
    let (manifest, signature) = (Trust::require_manifest, Trust::require_signature);
    type Row<'a> = (Option<&'a SigningKey>, Trust, &'a str);
    let rows: [Row<'_>; 8] = [
        (None, trust(&[], nothing), ""),
        (None, trust(&[&key], manifest), ""),
        (None, trust(&[&key], signature), "found no inferlay.manifest.sig, expected one (require_signature)"),
        (Some(&key), trust(&[], manifest), ""),
        (Some(&key), trust(&[&key], nothing), ""),
        (Some(&key), trust(&[&other, &key], signature), ""),
        (Some(&key), trust(&[&other], nothing), "inferlay.manifest.sig: found signed by 8a88"),
        (Some(&key), trust(&[&other], signature), "expected by a trusted key"),
    ];
    for (at, (signer, trust, message)) in rows.into_iter().enumerate() {
        let repository = TempFolder::with(&FILES);
        seal(repository.join("m"), Algorithm::Sha256, signer).unwrap();
        let told = trust.admit(&found(&repository).models["m"], 1).map_err(|error| error.to_string());
        assert_eq!(told.is_ok(), message.is_empty(), "row {at}: {told:?}");
        assert!(told.err().unwrap_or_default().contains(message), "row {at}");
    }
}

#[test]
fn a_signature_of_another_manifest_is_refused() {
    let key = SigningKey::from_bytes(&[1; 32]);
    let repository = TempFolder::with(&FILES);
    seal(repository.join("m"), Algorithm::Sha256, Some(&key)).unwrap();
    let manifest = fs::read_to_string(repository.join("m/inferlay.manifest")).unwrap();
    repository.write("m/inferlay.manifest", format!("{manifest}# one comment more\n").as_bytes());
    let mut trust = Trust::default();
    trust.add_key(key.public());
    let error = trust.admit(&found(&repository).models["m"], 1).unwrap_err();
    assert!(error.message().contains("line 1: found a signature by 8a88"), "{error}");
}

#[test]
fn sealing_again_takes_what_is_there_and_leaves_no_draft() {
    let key = SigningKey::from_bytes(&[1; 32]);
    let repository = TempFolder::with(&FILES);
    seal(repository.join("m"), Algorithm::Sha256, Some(&key)).unwrap();
    repository.write("m/3/model.bin", b"new");
    assert_eq!(seal(repository.join("m"), Algorithm::Blake3, None).unwrap().files, 6);
    assert!(refusals(&repository).is_empty());
    let names = fs::read_dir(repository.join("m")).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["1", "2", "3", "config.yaml", "inferlay.manifest", "labels.txt"]);
}

#[test]
fn a_model_without_a_manifest_is_refused_only_where_one_is_asked_for() {
    let repository = TempFolder::with(&["m/1/model.bin"]);
    let found = found(&repository);
    Trust::default().admit(&found.models["m"], 1).unwrap();
    let mut trust = Trust::default();
    trust.require_manifest();
    let error = trust.admit(&found.models["m"], 1).unwrap_err();
    assert_eq!(error.message(), "found no inferlay.manifest, expected one (require_manifest)");
    let own = in_memory("m", vec![("model.bin".to_owned(), vec![])], None).unwrap();
    trust.admit(&own, 1).unwrap();
}

#[test]
fn a_model_in_memory_may_be_sealed_too() {
    let sealed = sealed(Algorithm::Sha256);
    let repository = TempFolder::with(&["m/config.yaml", "m/model.bin"]);
    seal(repository.join("m"), Algorithm::Sha256, None).unwrap();
    let read = |name: &str| (name.to_owned(), fs::read(repository.join("m").join(name)).unwrap());
    let files = || ["config.yaml", "model.bin", "inferlay.manifest"].map(read).to_vec();
    let model = in_memory("m", files(), None).unwrap();
    Trust::default().admit(&model, 1).unwrap();
    assert_eq!(model.versions[&1].names(), ["model.bin"]);
    let mut changed = files();
    changed[1].1[0] = b'x';
    let error = Trust::default().admit(&in_memory("m", changed, None).unwrap(), 1).unwrap_err();
    assert!(error.message().starts_with("file 'model.bin': found SHA256"), "{error}");
    let mut other = files();
    other[2].1 = fs::read(sealed.join("m/inferlay.manifest")).unwrap();
    let error = Trust::default().admit(&in_memory("m", other, None).unwrap(), 1).unwrap_err();
    assert!(error.message().contains("'model.bin': found a file that inferlay.manifest does not list"), "{error}");
}

#[cfg(unix)]
#[test]
fn links_are_sealed_with_what_they_lead_to() {
    let repository = TempFolder::with(&["shared/weights", "m/1/model.bin"]);
    repository.link("m/1/weights", "../../shared/weights");
    repository.link("m/2", "1");
    assert_eq!(seal(repository.join("m"), Algorithm::Sha256, None).unwrap().files, 4);
    assert!(refusals(&repository).is_empty());
    repository.write("shared/weights", b"shared/weightx");
    assert_eq!(refusals(&repository).len(), 2);
    repository.link("m/1/out", "/etc/passwd");
    let error = seal(repository.join("m"), Algorithm::Sha256, None).unwrap_err();
    assert!(error.message().contains("found a link to '/etc/passwd'"), "{error}");
}

#[test]
fn a_file_whose_name_no_manifest_can_hold_is_not_sealed() {
    let repository = TempFolder::with(&["m/1/a\\b"]);
    let error = seal(repository.join("m"), Algorithm::Sha256, None).unwrap_err();
    assert!(error.message().contains("expected a name that a manifest can hold"), "{error}");
    assert!(!repository.join("m/inferlay.manifest").exists());
}

#[test]
fn what_lies_beside_the_versions_is_read_as_it_was_sealed() {
    let repository = sealed(Algorithm::Sha256);
    let beside = found(&repository).models["m"].beside.clone().unwrap();
    assert_eq!(beside.read("labels.txt").unwrap(), b"m/labels.txt");
    repository.write("m/labels.txt", b"m/lobels.txt");
    repository.write("m/warmup/x", b"late");
    let error = beside.read("labels.txt").unwrap_err();
    assert!(error.message().starts_with("file 'labels.txt': found SHA256 "), "{error}");
    assert!(beside.read("warmup/x").unwrap_err().message().contains("found no such file in inferlay.manifest"));
}

#[test]
fn a_marker_that_says_when_a_model_is_ready_need_not_be_sealed() {
    let repository = sealed(Algorithm::Sha256);
    for name in ["m/READY", "m/2/READY"] {
        repository.write(name, b"");
    }
    let mut all = Repositories::new(Some("READY".to_owned())).unwrap();
    all.add(Repository::at(repository.path().to_owned())).unwrap();
    let model = scan_all(&all).unwrap().models.remove("m").unwrap();
    assert!([1, 2].iter().all(|version| Trust::default().admit(&model, *version).is_ok()));
    assert_eq!(model.versions[&2].names(), ["model.bin"]);
    // Elsewhere it is a file like any other.
    repository.write("m/1/parts/READY", b"");
    let model = scan_all(&all).unwrap().models.remove("m").unwrap();
    let error = Trust::default().admit(&model, 1).unwrap_err();
    assert!(error.message().contains("'1/parts/READY': found a file that inferlay.manifest does not list"), "{error}");
}

#[test]
fn a_seal_that_is_changed_changes_the_model_but_not_its_versions() {
    let repository = sealed(Algorithm::Sha256);
    let look = || found(&repository).models["m"].look.as_ref().unwrap().snapshot.clone();
    let before = look();
    seal(repository.join("m"), Algorithm::Blake3, None).unwrap();
    let after = look();
    assert_eq!(before.versions, after.versions);
    assert!(!before.has_stats_of(&after));
}
