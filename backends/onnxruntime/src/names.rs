//! Names of dims that are not true in a ragged batch, taken out of a model file before the runtime reads it. Pure.
//!
//! The runtime believes that dims of one name are of one size, and has one value take another's memory by it. Exporters give
//! one name to the first dims of all inputs, which in a ragged batch are of different sizes.
//!
//! Invariant: the file keeps its length, and all of it but these names its meaning: a name becomes a `denotation`, which
//! stands in the same message, has the same form, and which nothing computes with.

use crate::file::{Facts, descend, texts};
use inferlay_backend_sdk::{Error, Ragged};
use std::borrow::Cow;
use std::collections::BTreeSet;

/// The key of a dim's name, and that of its denotation.
const NAME: u8 = 2 << 3 | 2;
const DENOTATION: u8 = 3 << 3 | 2;

/// The file without such names: at inputs that are not by rows, and at outputs and values of the graph, which have them from
/// there. Those of graphs within nodes stay, and so do names of more than 127 bytes.
///
/// # Errors
/// As [`crate::file::read`].
pub(crate) fn true_ones<'a>(content: &'a [u8], facts: &Facts<'_>, ragged: &Ragged) -> Result<Cow<'a, [u8]>, Error> {
    let graphs = texts(content, 7)?;
    let values = |field| descend(graphs.clone(), field);
    let mut inputs = Vec::new();
    for input in values(11)? {
        let name = texts(input, 1)?.last().and_then(|name| str::from_utf8(name).ok()).unwrap_or_default();
        if facts.inputs.contains(name.as_bytes()) {
            inputs.push((name, dim_names(input, 1)?.first().copied()));
        }
    }
    let firsts: Vec<_> =
        inputs.iter().map(|(input, first)| (*input, first.and_then(|name| str::from_utf8(name).ok()))).collect();
    let untrue = inputs.iter().filter(|(input, _)| !ragged.believes(input, &firsts)).filter_map(|(_, first)| *first);
    let mut places: Vec<&[u8]> = untrue.collect();
    let names: BTreeSet<&[u8]> = places.iter().copied().collect();
    for value in [values(12)?, values(13)?].concat() {
        places.extend(dim_names(value, usize::MAX)?.into_iter().filter(|name| names.contains(name)));
    }
    let mut content = Cow::Borrowed(content);
    places.into_iter().filter_map(|name| key_of(name, &content)).collect::<Vec<_>>().into_iter().for_each(|at| {
        content.to_mut()[at] = DENOTATION;
    });
    Ok(content)
}

/// The names of the first `most` dims of a value, of those that have one: type 2 -> tensor 1 -> shape 2 -> dim 1 -> name 2.
fn dim_names(value: &[u8], most: usize) -> Result<Vec<&[u8]>, Error> {
    let mut dims = descend(descend(descend(descend(vec![value], 2)?, 1)?, 2)?, 1)?;
    dims.truncate(most);
    descend(dims, 2)
}

/// Where the key stands of a name that is a part of `content`, if it is written as all writers do.
fn key_of(name: &[u8], content: &[u8]) -> Option<usize> {
    let start = name.as_ptr().addr().checked_sub(content.as_ptr().addr())?;
    // A name of more than 127 bytes has a length of two.
    let at = start.checked_sub(2)?;
    (*content.get(at)? == NAME && usize::from(*content.get(at + 1)?) == name.len() && name.len() < 128).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file;
    use crate::models::{FLOAT, Graph, INT32};

    /// The first dims of the inputs and outputs, by their names.
    fn firsts(content: &[u8]) -> Vec<String> {
        let graphs = texts(content, 7).unwrap();
        let values = [11, 12].map(|field| descend(graphs.clone(), field).unwrap()).concat();
        let first = |value: &&[u8]| dim_names(value, 1).unwrap().first().map(|name| name.to_vec()).unwrap_or_default();
        values.iter().map(|value| String::from_utf8(first(value)).unwrap()).collect()
    }

    fn check(names: [&str; 3], expected: [&str; 5]) {
        let [x, n, z] = names;
        let graph = Graph::new().input("x", FLOAT, Some(&[x])).input("n", INT32, Some(&[n]));
        let graph = graph.input("z", FLOAT, Some(&[z, "3"]));
        let content = graph.output("y", FLOAT, Some(&[x])).output("w", FLOAT, Some(&[z])).encoded();
        let ragged = Ragged { flat: ["x".to_owned()].into(), made: ["n".to_owned()].into(), ..Ragged::default() };
        let facts = file::read(&content).unwrap();
        let found = true_ones(&content, &facts, &ragged).unwrap();
        assert_eq!((firsts(&found), found.len()), (expected.map(str::to_owned).to_vec(), content.len()), "{names:?}");
        assert!(file::read(&found).is_ok());
        let same = true_ones(&content, &facts, &Ragged::default()).unwrap();
        assert_eq!(same[..], content[..], "of a batch that is not ragged all names are true");
    }

    #[test]
    fn names_that_a_ragged_batch_makes_untrue_are_taken_away() {
        check(["batch", "batch", "batch"], ["", "", "batch", "", ""]);
        check(["e", "batch", "batch"], ["e", "", "batch", "e", ""]);
        check(["e", "r", "rows"], ["e", "r", "rows", "e", "rows"]);
        check(["", "", ""], ["", "", "", "", ""]);
    }

    #[test]
    fn a_name_that_is_too_long_to_be_found_stays() {
        let long = "n".repeat(200);
        check([&long, &long, "rows"], [&long, &long, "rows", &long, "rows"]);
    }
}
