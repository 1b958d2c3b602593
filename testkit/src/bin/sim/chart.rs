//! Lines over time, as SVG.
//!
//! Written by hand: it is two panels of lines, which is less code than asking a plotting crate for them, and those bring
//! fonts and image formats into the build of every test.

use std::fmt::Write as _;

/// A panel: what its lines show, and up to where.
pub(crate) struct Panel {
    pub(crate) title: String,
    /// The value at the panel's top.
    pub(crate) top: f64,
    /// The step from one mark to the next.
    pub(crate) step: f64,
    /// A line across that is not to be passed, or reached.
    pub(crate) mark: Option<(f64, &'static str)>,
    pub(crate) lines: Vec<Line>,
}

/// A value for each second; a gap where there is none.
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) colour: &'static str,
    pub(crate) values: Vec<Option<f64>>,
}

/// What is shaded, in seconds, and how it is called.
pub(crate) struct Shade {
    pub(crate) from: u64,
    pub(crate) until: u64,
    pub(crate) name: &'static str,
}

const WIDTH: f64 = 760.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 16.0;
const PANEL: f64 = 190.0;
const GAP: f64 = 44.0;
const HEAD: f64 = 64.0;

/// Panels below each other over the same `seconds`.
pub(crate) fn svg(title: &str, seconds: u64, shade: &Shade, panels: &[Panel]) -> String {
    let height = HEAD + panels.len() as f64 * (PANEL + GAP);
    let x = |second: f64| LEFT + (WIDTH - LEFT - RIGHT) * second / seconds as f64;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>\n\
         <text x=\"{LEFT}\" y=\"22\" font-size=\"15\" font-weight=\"bold\">{}</text>\n",
        escaped(title)
    );
    let mut at = LEFT;
    for line in panels.first().map_or(&[][..], |panel| &panel.lines) {
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            "<rect x=\"{at:.0}\" y=\"34\" width=\"14\" height=\"4\" fill=\"{}\"/><text x=\"{:.0}\" y=\"40\">{}</text>",
            line.colour,
            at + 19.0,
            escaped(&line.name)
        );
        at += 40.0 + 6.6 * line.name.len() as f64;
    }
    for (number, panel) in panels.iter().enumerate() {
        let bottom = HEAD + number as f64 * (PANEL + GAP) + PANEL;
        let y = |value: f64| bottom - PANEL * (value / panel.top).clamp(0.0, 1.0);
        let _ = writeln!(
            out,
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{PANEL}\" fill=\"#f1e9e4\"/>\n\
             <text x=\"{:.1}\" y=\"{:.1}\" fill=\"#8a6d5a\">{}</text>\n<text x=\"{LEFT}\" y=\"{:.1}\">{}</text>",
            x(shade.from as f64),
            bottom - PANEL,
            x(shade.until as f64) - x(shade.from as f64),
            x(shade.from as f64) + 6.0,
            bottom - PANEL + 14.0,
            escaped(shade.name),
            bottom - PANEL - 6.0,
            escaped(&panel.title)
        );
        let marks = (panel.top / panel.step) as u64;
        for value in (0..=marks).map(|mark| mark as f64 * panel.step) {
            let _ = writeln!(
                out,
                "<path d=\"M{LEFT} {0:.1}H{1}\" stroke=\"#ddd\"/><text x=\"{2}\" y=\"{3:.1}\" text-anchor=\"end\" \
                 fill=\"#555\">{value}</text>",
                y(value),
                WIDTH - RIGHT,
                LEFT - 6.0,
                y(value) + 4.0
            );
        }
        for second in (0..=seconds).step_by(10) {
            let _ = writeln!(
                out,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#555\">{second} s</text>",
                x(second as f64),
                bottom + 16.0
            );
        }
        if let Some((value, name)) = panel.mark {
            let _ = writeln!(
                out,
                "<path d=\"M{LEFT} {0:.1}H{1}\" stroke=\"#555\" stroke-dasharray=\"5 4\"/>\
                 <text x=\"{1}\" y=\"{2:.1}\" text-anchor=\"end\" fill=\"#555\">{3}</text>",
                y(value),
                WIDTH - RIGHT,
                y(value) - 4.0,
                escaped(name)
            );
        }
        for line in &panel.lines {
            let _ = writeln!(
                out,
                "<path d=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2\"/>",
                path(&line.values, x, y),
                line.colour
            );
        }
    }
    out + "</svg>\n"
}

/// A line through the middle of each second, broken where there is no value.
fn path(values: &[Option<f64>], x: impl Fn(f64) -> f64, y: impl Fn(f64) -> f64) -> String {
    let mut path = String::new();
    let mut drawn = false;
    for (second, value) in values.iter().enumerate() {
        if let Some(value) = value {
            let _ = write!(
                path,
                "{}{:.1} {:.1}",
                if drawn { "L" } else { "M" },
                x(second as f64 + 0.5),
                y(*value)
            );
        }
        drawn = value.is_some();
    }
    path
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_breaks_the_line() {
        let values = [Some(1.0), Some(2.0), None, Some(3.0)];
        assert_eq!(path(&values, |x| x, |y| y), "M0.5 1.0L1.5 2.0M3.5 3.0");
    }

    #[test]
    fn a_chart_is_closed_and_its_texts_are_escaped() {
        let line = Line { name: "a < b".to_owned(), colour: "#123", values: vec![Some(1.0)] };
        let panel = Panel { title: "p".to_owned(), top: 2.0, step: 1.0, mark: None, lines: vec![line] };
        let svg = svg("q & a", 10, &Shade { from: 1, until: 2, name: "s" }, &[panel]);
        assert!(svg.contains("a &lt; b") && svg.contains("q &amp; a") && svg.ends_with("</svg>\n"));
    }
}
