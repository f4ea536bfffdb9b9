//! The words of a text-format protobuf: names, numbers, strings and marks, each with its place. Pure, any thread.

use super::super::error::printable;
use super::super::tree::At;
use super::Fatal;

/// One word.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Word<'t> {
    /// A letter or underscore and what follows of letters, digits and underscores.
    Name(&'t str),
    /// A number without its sign, as it is spelt.
    Number(&'t str),
    /// One string between quotes, with its escapes resolved.
    Text(Vec<u8>),
    /// Any other character.
    Mark(char),
    /// After the last word.
    End,
}

/// Where reading is.
pub(super) struct Lexer<'t> {
    text: &'t str,
    offset: usize,
    line: u32,
    column: u32,
}

impl<'t> Lexer<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        let offset = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        Lexer { text, offset, line: 1, column: 1 }
    }

    /// The next word and its place.
    pub(super) fn next(&mut self) -> Result<(Word<'t>, At), Fatal> {
        self.skip_blank();
        let start = self.place();
        let word = match self.peek() {
            None => Word::End,
            Some('a'..='z' | 'A'..='Z' | '_') => Word::Name(self.take_while(is_of_name)),
            Some('0'..='9') => self.number(start)?,
            Some('.') if self.rest()[1..].starts_with(|c: char| c.is_ascii_digit()) => self.number(start)?,
            Some(quote @ ('"' | '\'')) => Word::Text(self.text(quote, start)?),
            Some(mark) => {
                self.bump();
                Word::Mark(mark)
            }
        };
        Ok((word, self.since(start)))
    }

    fn rest(&self) -> &'t str {
        &self.text[self.offset..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.offset += c.len_utf8();
        let is_break = c == '\n' || (c == '\r' && self.peek() != Some('\n'));
        (self.line, self.column) = if is_break { (self.line + 1, 1) } else { (self.line, self.column + 1) };
        Some(c)
    }

    fn take_while(&mut self, fits: impl Fn(char) -> bool) -> &'t str {
        let start = self.offset;
        while self.peek().is_some_and(&fits) {
            self.bump();
        }
        &self.text[start..self.offset]
    }

    fn skip_blank(&mut self) {
        loop {
            self.take_while(|c| matches!(c, ' ' | '\t' | '\r' | '\n' | '\u{b}' | '\u{c}'));
            if self.peek() != Some('#') {
                return;
            }
            self.take_while(|c| c != '\n' && c != '\r');
        }
    }

    /// What looks like a number, to its end. What it is worth is for the field to say.
    fn number(&mut self, start: At) -> Result<Word<'t>, Fatal> {
        let from = self.offset;
        loop {
            self.take_while(|c| is_of_name(c) || c == '.');
            let so_far = &self.text[from..self.offset];
            let in_exponent = so_far.ends_with(['e', 'E']) && !so_far.starts_with("0x") && !so_far.starts_with("0X");
            if !in_exponent || !self.rest().starts_with(['+', '-']) {
                break;
            }
            self.bump();
        }
        let number = &self.text[from..self.offset];
        if is_number(number) {
            return Ok(Word::Number(number));
        }
        let number = super::super::error::quoted(number);
        Err(Fatal::new(self.since(start), format!("found '{number}', expected a number or a name")))
    }

    fn text(&mut self, quote: char, start: At) -> Result<Vec<u8>, Fatal> {
        let mut bytes = Vec::new();
        self.bump();
        loop {
            let at = self.place();
            match self.bump() {
                Some(c) if c == quote => return Ok(bytes),
                Some('\\') => self.escape(at, &mut bytes)?,
                None | Some('\n' | '\r') => {
                    let message = format!("found a string without its end, expected {quote} in the same line");
                    return Err(Fatal::new(self.since_line(start), message));
                }
                Some(c) => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
    }

    fn escape(&mut self, start: At, bytes: &mut Vec<u8>) -> Result<(), Fatal> {
        let Some(c) = self.bump() else {
            return Err(Fatal::new(start, "found '\\' at the end, expected an escape".to_owned()));
        };
        let byte = match c {
            'a' => 7,
            'b' => 8,
            'f' => 12,
            'n' => b'\n',
            'r' => b'\r',
            't' => b'\t',
            'v' => 11,
            '\\' | '\'' | '"' | '?' => c as u8,
            '0'..='7' => return self.coded(8, (c.to_digit(8), 2), start, bytes),
            'x' | 'X' => return self.coded(16, (None, 2), start, bytes),
            'u' => return self.character(4, start, bytes),
            'U' => return self.character(8, start, bytes),
            other => {
                let message = format!("found the escape '\\{}', expected one such as \\n or \\\"", printable(other));
                return Err(Fatal::new(self.since(start), message));
            }
        };
        bytes.push(byte);
        Ok(())
    }

    /// A byte by its number: the first digit if it is already read, and up to so many more.
    fn coded(&mut self, base: u32, digits: (Option<u32>, usize), at: At, bytes: &mut Vec<u8>) -> Result<(), Fatal> {
        let (mut value, mut more) = digits;
        while let Some(digit) = self.peek().and_then(|c| c.to_digit(base)).filter(|_| more > 0) {
            (value, more) = (Some(value.unwrap_or(0) * base + digit), more - 1);
            self.bump();
        }
        match value.map(u8::try_from) {
            Some(Ok(byte)) => bytes.push(byte),
            _ => {
                return Err(Fatal::new(
                    self.since(at),
                    "found an escape that is no byte, expected \\0 to \\377".into(),
                ));
            }
        }
        Ok(())
    }

    /// A character by its number in exactly so many digits.
    fn character(&mut self, digits: usize, start: At, bytes: &mut Vec<u8>) -> Result<(), Fatal> {
        let mut value = 0u32;
        for _ in 0..digits {
            let digit = self.peek().and_then(|c| c.to_digit(16));
            let Some(digit) = digit else {
                let message = format!("found an escape that ends early, expected {digits} hexadecimal digits");
                return Err(Fatal::new(self.since(start), message));
            };
            value = value.wrapping_shl(4) | digit;
            self.bump();
        }
        let Some(c) = char::from_u32(value) else {
            let message = format!("found the number {value:#x}, expected that of a character");
            return Err(Fatal::new(self.since(start), message));
        };
        bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        Ok(())
    }

    fn place(&self) -> At {
        // The text is at most TEXT_SIZE_MAX bytes long, which fits an u32.
        At { offset: self.offset as u32, line: self.line, column: self.column, len: 1 }
    }

    /// From there to here.
    fn since(&self, start: At) -> At {
        let taken = &self.text[start.offset as usize..self.offset];
        At { len: (taken.chars().count() as u32).max(1), ..start }
    }

    /// As [`Lexer::since`], without the end of the line.
    fn since_line(&self, start: At) -> At {
        let taken = self.text[start.offset as usize..self.offset].trim_end();
        At { len: (taken.chars().count() as u32).max(1), ..start }
    }
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Whether this spells a number: decimal, hexadecimal, octal, or with a fraction and perhaps a final `f`.
fn is_number(text: &str) -> bool {
    if let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        return !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    }
    let is_whole = text.bytes().all(|byte| byte.is_ascii_digit());
    let is_octal = text.len() > 1 && text.starts_with('0');
    match is_whole {
        true => !is_octal || text.bytes().all(|byte| byte < b'8'),
        false => text.trim_end_matches(['f', 'F']).parse::<f64>().is_ok() && text.matches(['f', 'F']).count() <= 1,
    }
}
