//! Columns as docker's and docker-machine's tables have them.

/// Narrowest column.
const MIN_WIDTH: usize = 5;
/// Blanks between columns.
const PADDING: usize = 3;

/// Turns lines of tab-separated cells into columns.
///
/// As Go's tabwriter: a column is a run of neighbouring lines that have a tab after that cell, so a line with fewer cells
/// ends it. Blanks at the end of a line are dropped.
pub(crate) fn align(text: &str) -> String {
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split('\t').collect()).collect();
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let mut widths: Vec<Vec<usize>> = lines.iter().map(|cells| vec![0; cells.len()]).collect();
    for column in 0..columns.saturating_sub(1) {
        let mut start = 0;
        while start < lines.len() {
            let run = lines[start..].iter().take_while(|cells| cells.len() > column + 1).count();
            let cells = &lines[start..start + run];
            let widest = cells.iter().map(|cells| cells[column].chars().count()).max().unwrap_or(0);
            for widths in &mut widths[start..start + run] {
                widths[column] = (widest + PADDING).max(MIN_WIDTH);
            }
            start += run.max(1);
        }
    }
    let mut out = String::with_capacity(text.len() * 2);
    for (cells, widths) in lines.iter().zip(&widths) {
        let mut line = String::new();
        for (cell, width) in cells.iter().zip(widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.chars().count())));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_three_blanks() {
        let text = "NAME\tACTIVE\tERRORS\nweb-1\t-\t\ndb\t*\tno route";
        assert_eq!(align(text), "NAME    ACTIVE   ERRORS\nweb-1   -\ndb      *        no route\n");
    }

    #[test]
    fn a_column_is_at_least_five_wide() {
        assert_eq!(align("a\tb\n"), "a    b\n");
    }

    #[test]
    fn a_line_without_the_column_ends_it() {
        assert_eq!(align("long cell\tx\nalone\ns\tx\n"), "long cell   x\nalone\ns    x\n");
    }

    #[test]
    fn letters_of_more_than_one_byte_count_once() {
        assert_eq!(align("é\tx\nabcdef\tx\n"), "é        x\nabcdef   x\n");
    }
}
