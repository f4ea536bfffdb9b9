//! A Rust file as the house rules see it: its tokens, which of them are tests, and the paths that they spell.
//!
//! This is no parser of Rust. It tells code from comments and literals exactly, and knows just enough of attributes,
//! items and `use` groups for the rules. Reading ends on every text, valid Rust or not.

/// Keywords that a path starting with `::` may follow.
const KEYWORDS: &[&str] = &["use", "return", "in", "as", "match", "if", "mut", "dyn", "impl"];

/// A Rust file and its tokens.
pub(crate) struct Source {
    /// From the root of the repository.
    pub(crate) path: String,
    pub(crate) text: String,
    pub(crate) tokens: Vec<Token>,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Source {
        let mut tokens = tokens(text);
        mark_tests(&mut tokens);
        Source { path: path.to_owned(), text: text.to_owned(), tokens }
    }

    /// The files of the modules that this one declares under `#[cfg(test)]`, without their ending.
    pub(crate) fn test_modules(&self) -> Vec<String> {
        let stem = self.path.trim_end_matches(".rs");
        let folder = ["/mod", "/lib", "/main"].iter().find_map(|root| stem.strip_suffix(root)).unwrap_or(stem);
        let declares = |t: &&[Token]| t[0].in_tests && t[0].text == "mod" && t[2].text == ";";
        self.tokens.windows(3).filter(declares).map(|t| format!("{folder}/{}", t[1].text)).collect()
    }

    /// Every path in the code; a word alone counts when a `use` names it.
    pub(crate) fn paths(&self) -> Vec<PathOf> {
        let (mut found, mut at) = (Vec::new(), 0);
        while let Some(token) = self.tokens.get(at) {
            let used = at > 0 && self.tokens[at - 1].text == "use";
            // A keyword before `::` does not belong to the path.
            let leads = token.is_word()
                && !KEYWORDS.contains(&token.text.as_str())
                && self.tokens.get(at + 1).is_some_and(|next| next.text == "::");
            at = if leads || used { expand(&self.tokens, at, &[], &mut found) } else { at + 1 };
        }
        found
    }
}

/// Marks the files that hold nothing but tests, because the module that declares them says so.
pub(crate) fn mark_test_files(sources: &mut [Source]) {
    let modules: Vec<_> = sources.iter().flat_map(Source::test_modules).collect();
    for source in sources {
        let inside = |rest: &str| rest == ".rs" || rest.starts_with('/');
        if modules.iter().any(|module| source.path.strip_prefix(module.as_str()).is_some_and(inside)) {
            source.tokens.iter_mut().for_each(|token| token.in_tests = true);
        }
    }
}

/// A word, a `::`, a literal or one other character, and the line that it starts on.
pub(crate) struct Token {
    pub(crate) line: usize,
    pub(crate) text: String,
    pub(crate) in_tests: bool,
}

impl Token {
    fn is_word(&self) -> bool {
        self.text.starts_with(|c: char| c.is_alphabetic() || c == '_') && !self.text.ends_with(['"', '\'', '#'])
    }
}

/// A path such as `std::sync::Arc`, out of the groups of its `use`. Never without a name.
pub(crate) struct PathOf {
    pub(crate) line: usize,
    pub(crate) names: Vec<String>,
    pub(crate) in_tests: bool,
}

impl PathOf {
    pub(crate) fn text(&self) -> String {
        self.names.join("::")
    }

    pub(crate) fn holds(&self, first: &str, second: &str) -> bool {
        self.names.windows(2).any(|pair| pair[0] == first && pair[1] == second)
    }
}

fn tokens(text: &str) -> Vec<Token> {
    let (mut found, mut rest, mut line) = (Vec::new(), text, 1);
    while !rest.is_empty() {
        let (token, after) = rest.split_at(token_length(rest));
        let comment = token.starts_with("//") || token.starts_with("/*");
        if !comment && !token.starts_with(char::is_whitespace) {
            found.push(Token { line, text: token.to_owned(), in_tests: false });
        }
        line += token.matches('\n').count();
        rest = after;
    }
    found
}

/// How many bytes the token, comment or white space at the start of `rest` takes; `rest` is not empty.
fn token_length(rest: &str) -> usize {
    let first = rest.chars().next().map_or(1, char::len_utf8);
    let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    let prefix = if ["b", "c", "r", "br", "cr"].contains(&&rest[..word]) { word } else { 0 };
    let literal = &rest[prefix..];
    let raw = literal.trim_start_matches('#');
    if rest.starts_with("//") {
        rest.find('\n').unwrap_or(rest.len())
    } else if rest.starts_with("/*") {
        block_comment_length(rest)
    } else if rest[..prefix].ends_with('r') && raw.starts_with('"') {
        let end = format!("\"{}", "#".repeat(literal.len() - raw.len()));
        let start = rest.len() - raw.len() + 1;
        rest[start..].find(&end).map_or(rest.len(), |at| start + at + end.len())
    } else if literal.starts_with('"') {
        prefix + quoted_length(literal, '"')
    } else if literal.starts_with("'\\") || literal.starts_with('\'') && literal.chars().nth(2) == Some('\'') {
        prefix + quoted_length(literal, '\'')
    } else if rest.starts_with("::") {
        2
    } else {
        word.max(first)
    }
}

fn quoted_length(literal: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in literal.char_indices().skip(1) {
        if c == quote && !escaped {
            return at + 1;
        }
        escaped = c == '\\' && !escaped;
    }
    literal.len()
}

fn block_comment_length(rest: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(offset) = rest[at..].find(['*', '/']) {
        let sign = rest.get(at + offset..at + offset + 2);
        depth = depth.saturating_add_signed(isize::from(sign == Some("/*")) - isize::from(sign == Some("*/")));
        at += offset + if matches!(sign, Some("/*" | "*/")) { 2 } else { 1 };
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

/// Marks the items under `#[cfg(test)]`.
fn mark_tests(tokens: &mut [Token]) {
    for at in 0..tokens.len() {
        let attribute = tokens[at].text == "#" && tokens.get(at + 1).is_some_and(|next| next.text == "[");
        if attribute && is_cfg_test(&tokens[at..closing(tokens, at + 1)]) {
            let end = item_end(tokens, at);
            tokens[at..end].iter_mut().for_each(|token| token.in_tests = true);
        }
    }
}

/// Whether an attribute keeps its item out of every build but that of the tests.
fn is_cfg_test(attribute: &[Token]) -> bool {
    let words: Vec<_> = attribute.iter().filter(|token| token.is_word()).map(|token| token.text.as_str()).collect();
    words.first() == Some(&"cfg")
        && words.contains(&"test")
        && !words.contains(&"any")
        && !words.ends_with(&["not", "test"])
}

/// One past the item that the attribute at `start` belongs to.
pub(crate) fn item_end(tokens: &[Token], start: usize) -> usize {
    let mut at = start;
    while let Some(token) = tokens.get(at) {
        match token.text.as_str() {
            "{" => return closing(tokens, at),
            "(" | "[" => at = closing(tokens, at),
            ";" => return at + 1,
            ")" | "]" | "}" => return at,
            _ => at += 1,
        }
    }
    at
}

/// One past the bracket that closes the one at `open`.
pub(crate) fn closing(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    tokens.len()
}

/// Expands the path or group at `start` under `prefix`. Gives back where it ends, which is past `start`.
fn expand(tokens: &[Token], start: usize, prefix: &[String], found: &mut Vec<PathOf>) -> usize {
    let (mut names, mut at) = (prefix.to_vec(), start);
    while let Some(token) = tokens.get(at) {
        match token.text.as_str() {
            "::" => at += 1,
            "{" => return expand_group(tokens, at, &names, found),
            _ if token.is_word() => {
                names.push(token.text.clone());
                at += 1;
                if tokens.get(at).is_none_or(|next| next.text != "::") {
                    break;
                }
            }
            _ => break,
        }
    }
    if tokens.get(at).is_some_and(|token| token.text == "as") {
        at += 2;
    }
    if !names.is_empty() {
        found.push(PathOf { line: tokens[start].line, names, in_tests: tokens[start].in_tests });
    }
    at.max(start + 1)
}

fn expand_group(tokens: &[Token], open: usize, prefix: &[String], found: &mut Vec<PathOf>) -> usize {
    let mut at = open + 1;
    while tokens.get(at).is_some_and(|token| token.text != "}") {
        at = if tokens[at].text == "," { at + 1 } else { expand(tokens, at, prefix, found) };
    }
    at + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_comments_and_lifetimes_are_told_apart() {
        let text = r##"a /* x /* y */ */ 'b' b'\'' '\\' '"' 'life "q\"u" r#"raw " "# br"c" // end
            r#type ::é"##;
        let found: Vec<_> = tokens(text).into_iter().map(|token| token.text).collect();
        let life = ["'", "life"];
        let expected =
            [&["a", "'b'", "b'\\''", "'\\\\'", "'\"'"][..], &life, &[r#""q\"u""#, r##"r#"raw " "#"##, "br\"c\""]]
                .concat();
        assert_eq!(found[..10], expected[..]);
        assert_eq!(found[10..], ["r", "#", "type", "::", "é"]);
    }

    #[test]
    fn a_file_is_tests_when_its_declaration_says_so() {
        let mut sources = [
            ("src/flow/mod.rs", "#[cfg(test)]\nmod fake;\nmod queue;"),
            ("src/flow/queue.rs", "#[cfg(all(test, not(loom)))]\nmod rows;"),
            ("src/flow/fake.rs", "use a::b;"),
            ("src/flow/fake/deep.rs", "use a::b;"),
            ("src/flow/queue/rows.rs", "use a::b;"),
            ("src/flow/rows.rs", "use a::b;"),
            ("src/fake.rs", "use a::b;"),
        ]
        .map(|(path, text)| Source::new(path, text));
        mark_test_files(&mut sources);
        let marked: Vec<_> = sources.iter().map(|source| source.paths().iter().any(|path| path.in_tests)).collect();
        assert_eq!(marked, [false, false, true, true, true, false, false]);
    }

    #[test]
    fn reading_ends_whatever_the_text() {
        for text in
            ["\"", "'", "/*", "/* /*", "r#\"", "b'", "use ::", "use {", "use a::{*,", "#[", "#[cfg(test)]", "é'é"]
        {
            Source::new("src/a.rs", text).paths();
        }
    }
}
