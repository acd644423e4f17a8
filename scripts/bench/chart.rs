//! The chart of the README: every ratio and its target.

use std::fmt::{Display, Write};

use crate::table::Row;

const WIDTH: u32 = 860;
const TOP: u32 = 48;
/// The distance between two rows.
const LINE: u32 = 38;
/// Where the bars begin, where a bar ends that just reaches its target, and where longer bars are cut.
const LEFT: u32 = 390;
const TARGET: u32 = 540;
const RIGHT: u32 = 720;
/// Where the figures end.
const EDGE: u32 = WIDTH - 8;

const STYLE: &str = "\
text { font: 12px system-ui, sans-serif; fill: #1f2328; }
.head { font-weight: 600; }
.dim { fill: #59636e; }
.end { text-anchor: end; }
.met { fill: #2da44e; }
.missed { fill: #bf8700; }
.target { stroke: #1f2328; stroke-dasharray: 3 3; }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc; }
  .dim { fill: #9198a1; }
  .met { fill: #3fb950; }
  .missed { fill: #d29922; }
  .target { stroke: #f0f6fc; }
}
";

/// The length of a bar is the used share of its target, so that all targets are on one line; shorter is better.
pub fn svg(rows: &[Row]) -> String {
    let rows: Vec<_> = rows
        .iter()
        .filter(|row| row.is_ratio())
        .filter_map(|row| Some((row, row.target?)))
        .collect();
    let height = TOP + LINE * u32::try_from(rows.len()).unwrap_or(0);
    let mut svg = Svg::new(height);
    svg.text("head", 8, 20, "what, and what it is compared with");
    svg.text("dim", LEFT, 20, "shorter is better");
    svg.text("dim", TARGET + 4, 20, "target");
    svg.text("head end", EDGE, 20, "ratio (target)");
    let mut y = TOP;
    for (row, target) in rows {
        let (figure, [what, against]) = (row.figure(), row.titles());
        let share = target.share(figure);
        svg.text("", 8, y, &what);
        svg.text("dim", 8, y + 15, &format!("against {against}"));
        svg.bar(if share <= 1.0 { "met" } else { "missed" }, y - 6, share);
        let shown = format!("{} ({})", row.show_figure(figure), row.show_target());
        svg.text("end", EDGE, y + 6, &shown);
        y += LINE;
    }
    let bottom = height - 12;
    svg.line(format_args!(
        "<path class=\"target\" d=\"M{TARGET} 28V{bottom}\"/>"
    ));
    svg.line("</svg>");
    svg.0
}

struct Svg(String);

impl Svg {
    fn new(height: u32) -> Svg {
        let mut svg = Svg(String::new());
        svg.line(format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
             role=\"img\" aria-label=\"Measured ratios against their targets\">"
        ));
        svg.line(format_args!("<style>\n{STYLE}</style>"));
        svg
    }

    fn line(&mut self, text: impl Display) {
        let _ = writeln!(self.0, "{text}");
    }

    fn text(&mut self, class: &str, x: u32, y: u32, text: &str) {
        let text = text
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;");
        self.line(format_args!(
            "<text class=\"{class}\" x=\"{x}\" y=\"{y}\">{text}</text>"
        ));
    }

    fn bar(&mut self, class: &str, y: u32, share: f64) {
        let mut part = |x: u32, width: u32| {
            self.line(format_args!(
                "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"16\"/>"
            ));
        };
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let length = (share * f64::from(TARGET - LEFT)).round() as u32;
        if length <= RIGHT - LEFT {
            part(LEFT, length.max(2));
        } else {
            part(LEFT, RIGHT - LEFT - 16);
            part(RIGHT - 13, 5);
            part(RIGHT - 5, 5);
        }
    }
}
