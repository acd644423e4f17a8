//! The chart that the README shows: every ratio against its target.

use std::fmt::Write;

use crate::table::Row;

const LINE: u32 = 30;
const TOP: u32 = 46;
const WIDTH: u32 = 860;
/// Where the bars begin, and where the one ends that just reaches its target.
const LEFT: u32 = 420;
const TARGET: u32 = 600;
/// Where a bar is cut.
const RIGHT: u32 = 760;

const STYLE: &str = "\
  text { font: 12px system-ui, sans-serif; fill: #1f2328; }
  .head { font-weight: 600; }
  .dim { fill: #59636e; }
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

/// The bars are as long as the share that was taken of what is allowed, so all targets are one line; shorter is better.
pub fn svg(rows: &[Row]) -> String {
    let rows: Vec<_> = rows
        .iter()
        .filter(|row| row.is_ratio())
        .filter_map(|row| Some((row, row.target?)))
        .collect();
    let bottom = TOP + LINE * u32::try_from(rows.len()).unwrap_or(0);
    let height = bottom + 12;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         role=\"img\" aria-label=\"Measured ratios against their targets\">\n<style>\n{STYLE}</style>\n"
    );
    let mut line = |text: std::fmt::Arguments<'_>| {
        let _ = writeln!(svg, "{text}");
    };
    line(format_args!(
        "<text class=\"head\" x=\"8\" y=\"20\">handoff-fs / what it is compared with</text>"
    ));
    line(format_args!(
        "<text class=\"dim\" x=\"{TARGET}\" y=\"20\" text-anchor=\"middle\">target</text>"
    ));
    line(format_args!(
        "<text class=\"dim\" x=\"{LEFT}\" y=\"20\">shorter is better</text>"
    ));
    for (number, (row, target)) in rows.iter().enumerate() {
        let y = TOP + LINE * u32::try_from(number).unwrap_or(0);
        let (figure, share) = (row.figure(), target.share(row.figure()));
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let length = (share * f64::from(TARGET - LEFT)).round() as u32;
        let cut = length > RIGHT - LEFT;
        let length = length.clamp(2, RIGHT - LEFT);
        let class = if share <= 1.0 { "met" } else { "missed" };
        let shown = format!("{} ({})", row.show_figure(figure), row.show_target());
        let [what, against] = row.titles();
        line(format_args!(
            "<text x=\"8\" y=\"{}\">{}</text>",
            y + 3,
            escape(&what)
        ));
        line(format_args!(
            "<text class=\"dim\" x=\"8\" y=\"{}\">{}</text>",
            y + 17,
            escape(&format!("against {against}"))
        ));
        line(format_args!(
            "<rect class=\"{class}\" x=\"{LEFT}\" y=\"{y}\" width=\"{length}\" height=\"14\" rx=\"2\"/>"
        ));
        let after = LEFT + length + 6;
        let mark = if cut { "… " } else { "" };
        line(format_args!(
            "<text x=\"{after}\" y=\"{}\">{mark}{}</text>",
            y + 11,
            escape(&shown)
        ));
    }
    line(format_args!(
        "<path class=\"target\" d=\"M{TARGET} 28V{bottom}\"/>"
    ));
    svg.push_str("</svg>\n");
    svg
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
