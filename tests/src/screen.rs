//! What a terminal shows once everything was written to it: as much of one as lines that move need. Main item: [`screen`].

use std::iter::Peekable;
use std::str::Chars;

/// As wide as the terminals of tests are.
const COLUMNS: usize = 80;

/// A row, and whether it only goes on with the one above it.
#[derive(Default, Clone)]
struct Row {
    text: Vec<char>,
    goes_on: bool,
}

/// The lines of the screen and of what has scrolled off it, each whole, without spaces at their ends.
///
/// # Panics
/// On a sequence that it does not know.
#[must_use]
pub fn screen(written: &str) -> Vec<String> {
    let mut rows = vec![Row::default()];
    let (mut row, mut column) = (0_usize, 0_usize);
    let mut chars = written.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\r' => column = 0,
            '\n' => row += 1,
            '\x1b' => match sequence(&mut chars) {
                ('m' | 'h' | 'l', _) => {}
                ('A', count) => row = row.saturating_sub(count.unwrap_or(1)),
                ('B', count) => row += count.unwrap_or(1),
                ('K', None | Some(0)) => rows[row].text.truncate(column),
                ('K', Some(2)) => rows[row] = Row::default(),
                ('J', None | Some(0)) => {
                    rows[row].text.truncate(column);
                    rows.truncate(row + 1);
                }
                unknown => panic!("what does {unknown:?} do to a terminal?\n{written:?}"),
            },
            c => {
                if column == COLUMNS {
                    (row, column) = (row + 1, 0);
                    rows.resize_with(rows.len().max(row + 1), Row::default);
                    // Whoever fills a line up with spaces means the next text to stand below it.
                    rows[row].goes_on = rows[row - 1].text.last() != Some(&' ');
                }
                let text = &mut rows[row].text;
                text.resize(text.len().max(column + 1), ' ');
                text[column] = c;
                column += 1;
            }
        }
        rows.resize_with(rows.len().max(row + 1), Row::default);
    }
    let mut lines: Vec<String> = Vec::new();
    for row in rows {
        let text: String = row.text.into_iter().collect();
        match lines.last_mut() {
            Some(line) if row.goes_on => line.push_str(&text),
            _ => lines.push(text),
        }
    }
    for line in &mut lines {
        line.truncate(line.trim_end().len());
    }
    lines.truncate(lines.iter().rposition(|line| !line.is_empty()).map_or(0, |last| last + 1));
    lines
}

/// The letter that ends a sequence, and its first number.
fn sequence(chars: &mut Peekable<Chars<'_>>) -> (char, Option<usize>) {
    assert_eq!(chars.next(), Some('['), "a sequence that is none of a cursor");
    let mut words = String::new();
    for c in chars.by_ref() {
        if c.is_ascii_alphabetic() {
            return (c, words.trim_start_matches('?').split(';').next().and_then(|number| number.parse().ok()));
        }
        words.push(c);
    }
    panic!("a sequence without an end: {words:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_written_over_and_long_ones_stay_whole() {
        assert_eq!(screen("a\r\nbusy 1\rbusy 2\r\x1b[2Kdone\r\n"), ["a", "done"]);
        assert_eq!(screen("one\r\ntwo\x1b[1A\r\x1b[2K\x1b[32m✔\x1b[0m 1"), ["✔ 1", "two"]);
        let long = "x".repeat(90);
        assert_eq!(screen(&format!("{long}\r\nend")), [long.as_str(), "end"]);
        assert_eq!(screen(&format!("{:80}end", "short")), ["short", "end"]);
        assert_eq!(screen(&format!("{long}\r\x1b[2K\x1b[1A\x1b[2Kgone")), ["gone"]);
    }
}
