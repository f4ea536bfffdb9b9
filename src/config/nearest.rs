//! Which known word a misspelt one probably meant. Pure, any thread.

/// The known word with the fewest edits from `word` (insertion, deletion, substitution, transposition), if they are
/// few: one third of its length at most, but one edit always. Upper and lower case count as the same.
pub(super) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word: Vec<char> = word.chars().take(WORD_MAX + 1).flat_map(char::to_lowercase).collect();
    if word.len() > WORD_MAX {
        return None;
    }
    let edits_max = (word.len() / 3).max(1);
    let near = known.into_iter().map(|known| (edits(&word, known), known));
    near.filter(|(edits, _)| *edits <= edits_max).min_by_key(|(edits, _)| *edits).map(|(_, known)| known)
}

/// The Damerau-Levenshtein distance in its restricted form, which edits no part of a word twice.
fn edits(a: &[char], b: &str) -> usize {
    let b: Vec<char> = b.chars().take(2 * WORD_MAX).flat_map(char::to_lowercase).collect();
    let mut rows: [Vec<usize>; 3] = [Vec::new(), vec![0; b.len() + 1], (0..=b.len()).collect()];
    for i in 1..=a.len() {
        rows.rotate_left(1);
        let [before, above, row] = &mut rows;
        row.clear();
        row.push(i);
        for j in 1..=b.len() {
            let same = a[i - 1] == b[j - 1];
            let mut least = (above[j] + 1).min(row[j - 1] + 1).min(above[j - 1] + usize::from(!same));
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(before[j - 2] + 1);
            }
            row.push(least);
        }
    }
    rows[2][b.len()]
}

/// Longer words are not compared: the effort grows with the product of the lengths.
const WORD_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_found_within_a_third_of_the_length() {
        let known = ["input", "output", "max_batch_size", "name", "dims"];
        let cases = [
            ("max_bacth_size", Some("max_batch_size")),
            ("maxbatchsize", Some("max_batch_size")),
            ("inputs", Some("input")),
            ("Output", Some("output")),
            ("nmae", Some("name")),
            ("dim", Some("dims")),
            ("shape", None),
            ("", None),
            ("größe", None),
        ];
        for (word, expected) in cases {
            assert_eq!(nearest(word, known), expected, "{word}");
        }
        assert_eq!(nearest(&"x".repeat(100_000), known), None);
    }

    #[test]
    fn edits_count_each_kind_once() {
        let cases = [("", "abc", 3), ("abc", "abc", 0), ("acb", "abc", 1), ("ab", "abc", 1), ("abcd", "abc", 1)];
        for (a, b, expected) in cases {
            assert_eq!(edits(&a.chars().collect::<Vec<_>>(), b), expected, "{a} {b}");
        }
    }
}
