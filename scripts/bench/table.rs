//! The results: a row has values of handoff-fs and of a reference, one of each a round, and a target.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// A build or a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// The build that the benchmark is run for.
    Ours,
    /// Another build of handoff-fs, measured in the same rounds.
    Before,
    /// libfuse's example, with its default cache of one second.
    Passthrough,
    /// The same, without a cache.
    PassthroughUncached,
    Bindfs,
    Mergerfs,
    /// The same system calls on a bare directory.
    Bare,
    /// The old protocol as a shell script, on a bare directory.
    Shell,
}

impl Who {
    pub fn name(self) -> &'static str {
        match self {
            Who::Ours => "handoff-fs",
            Who::Before => "before",
            Who::Passthrough => "passthrough_ll",
            Who::PassthroughUncached => "passthrough_ll `-o cache=never`",
            Who::Bindfs => "bindfs",
            Who::Mergerfs => "mergerfs",
            Who::Bare => "bare directory",
            Who::Shell => "shell protocol",
        }
    }
}

/// The values of every build and peer, one a round.
pub type Series = BTreeMap<Who, Vec<f64>>;

/// The unit of a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Unit {
    Seconds,
    PerSecond,
    Mebibytes,
    /// A count in ten seconds.
    Times,
}

impl Unit {
    pub fn show(self, value: f64) -> String {
        match self {
            Unit::Seconds if value < 1e-3 => format!("{} µs", digits(value * 1e6)),
            Unit::Seconds if value < 1.0 => format!("{} ms", digits(value * 1e3)),
            Unit::Seconds => format!("{} s", digits(value)),
            Unit::PerSecond => format!("{value:.0}/s"),
            Unit::Mebibytes => format!("{value:.1} MiB"),
            Unit::Times => format!("{value:.0}"),
        }
    }
}

/// Three significant digits, as far as they are after the decimal point.
fn digits(value: f64) -> String {
    let places = if value < 10.0 {
        2
    } else {
        usize::from(value < 100.0)
    };
    format!("{value:.places$}")
}

/// The target of the ratio, or of the value where there is no reference.
#[derive(Clone, Copy, Debug)]
pub enum Target {
    AtMost(f64),
    AtLeast(f64),
}

impl Target {
    pub fn is_met(self, figure: f64) -> bool {
        self.share(figure) <= 1.0
    }

    /// The used share of the target: 1 just reaches the target, less is better.
    pub fn share(self, figure: f64) -> f64 {
        match self {
            Target::AtMost(0.0) if figure == 0.0 => 0.0,
            Target::AtMost(most) => figure / most,
            Target::AtLeast(least) => least / figure,
        }
    }
}

/// The reference of a row.
pub enum Reference<'a> {
    /// The same measurement of a peer.
    Peer(Who),
    /// Another measurement of each build: its values and its name.
    Own(&'a Series, &'static str),
    /// None: the target is for the value itself.
    Nothing,
}

/// The values of a build and of its reference, one of each a round.
struct Pair {
    values: Vec<f64>,
    reference: Vec<f64>,
}

impl Pair {
    fn ratios(&self) -> Vec<f64> {
        let both = self.values.iter().zip(&self.reference);
        both.map(|(value, reference)| value / reference).collect()
    }

    /// The ratios, or the values where there is no reference, one a round.
    fn figures(&self) -> Vec<f64> {
        if self.reference.is_empty() {
            self.values.clone()
        } else {
            self.ratios()
        }
    }
}

pub struct Row {
    pub key: &'static str,
    pub what: String,
    unit: Unit,
    pub target: Option<Target>,
    against: &'static str,
    ours: Pair,
    before: Option<Pair>,
    beside: Vec<(&'static str, Vec<f64>)>,
}

impl Row {
    pub fn new(
        key: &'static str,
        what: impl Into<String>,
        unit: Unit,
        target: Option<Target>,
        series: &Series,
        reference: &Reference<'_>,
    ) -> Row {
        let pair = |who: Who| {
            let values = series.get(&who)?.clone();
            let reference = match reference {
                Reference::Peer(peer) => series[peer].clone(),
                Reference::Own(own, _) => own[&who].clone(),
                Reference::Nothing => Vec::new(),
            };
            Some(Pair { values, reference })
        };
        let (against, peer) = match reference {
            Reference::Peer(peer) => (peer.name(), Some(*peer)),
            Reference::Own(_, name) => (*name, None),
            Reference::Nothing => ("", None),
        };
        let others = series
            .iter()
            .filter(|(who, _)| !matches!(who, Who::Ours | Who::Before) && Some(**who) != peer);
        Row {
            key,
            what: what.into(),
            unit,
            target,
            against,
            ours: pair(Who::Ours).expect("handoff-fs is always measured"),
            before: pair(Who::Before),
            beside: others
                .map(|(who, values)| (who.name(), values.clone()))
                .collect(),
        }
    }

    pub fn is_ratio(&self) -> bool {
        !self.against.is_empty()
    }

    /// The median of the ratios, or of the values where there is no reference.
    pub fn figure(&self) -> f64 {
        median(&self.ours.figures())
    }

    /// The ratio or the value, written as the target is.
    pub fn show_figure(&self, figure: f64) -> String {
        if self.is_ratio() {
            show_ratio(figure)
        } else {
            self.unit.show(figure)
        }
    }

    pub fn show_target(&self) -> String {
        match self.target {
            None => String::new(),
            Some(Target::AtMost(most)) => format!("≤ {}", self.show_figure(most)),
            Some(Target::AtLeast(least)) => format!("≥ {}", self.show_figure(least)),
        }
    }

    /// The names of the row and of its reference, without Markdown.
    pub fn titles(&self) -> [String; 2] {
        [&self.what, self.against].map(|text| text.replace('`', ""))
    }

    /// A line of the Markdown table, with a cell for the other build if there is one. `is_same`: the names are those of the line above.
    fn markdown(&self, with_before: bool, is_same: bool) -> String {
        let reference = if self.is_ratio() {
            let value = self.unit.show(median(&self.ours.reference));
            format!("{}: {value}", self.against)
        } else {
            String::new()
        };
        let figure = |pair: &Pair| {
            if self.is_ratio() {
                let ratios = pair.ratios();
                let (least, most) = range(&ratios);
                let [middle, least, most] = [median(&ratios), least, most].map(show_ratio);
                format!("{middle} ({least} … {most})")
            } else {
                String::new()
            }
        };
        let reached = match self.target.map(|target| target.is_met(self.figure())) {
            None => "",
            Some(true) => "yes",
            Some(false) => "**no**",
        };
        let before = self.before.as_ref().map_or_else(String::new, |pair| {
            format!("{} {}", self.unit.show(median(&pair.values)), figure(pair))
        });
        let beside: Vec<String> = self
            .beside
            .iter()
            .map(|(name, values)| format!("{name} {}", self.unit.show(median(values))))
            .collect();
        let ours = self.unit.show(median(&self.ours.values));
        let what = if is_same { "the same" } else { &self.what };
        let mut cells = vec![what.to_owned(), ours, reference, figure(&self.ours)];
        cells.extend([self.show_target(), reached.to_owned(), beside.join(", ")]);
        if with_before {
            cells.insert(1, before.trim_end().to_owned());
        }
        format!("| {} |", cells.join(" | "))
    }

    pub fn json(&self) -> Value {
        let pair = |pair: &Pair| {
            json!({
                "median": median(&pair.values), "values": pair.values,
                "reference_median": (!pair.reference.is_empty()).then(|| median(&pair.reference)),
                "reference_values": pair.reference, "figure": median(&pair.figures()),
            })
        };
        let beside: BTreeMap<_, _> = self
            .beside
            .iter()
            .map(|(name, values)| (name, median(values)))
            .collect();
        json!({
            "key": self.key, "what": self.what, "unit": format!("{:?}", self.unit), "against": self.against,
            "ours": pair(&self.ours), "before": self.before.as_ref().map(pair), "beside": beside,
            "target": self.show_target(), "reached": self.target.map(|target| target.is_met(self.figure())),
        })
    }
}

/// The whole table.
pub fn markdown(rows: &[Row]) -> String {
    let with_before = rows.iter().any(|row| row.before.is_some());
    let mut head = vec![
        "what",
        "handoff-fs",
        "against",
        "ratio (lowest … highest round)",
    ];
    head.extend(["to reach", "reached", "besides"]);
    if with_before {
        head.insert(1, "before");
    }
    let mut text = format!("| {} |\n|{}\n", head.join(" | "), "---|".repeat(head.len()));
    let mut above = "";
    for row in rows {
        text.push_str(&row.markdown(with_before, row.what == above));
        text.push('\n');
        above = &row.what;
    }
    text
}

/// A number with commas between the thousands.
pub fn grouped(count: usize) -> String {
    match (count / 1000, count % 1000) {
        (0, rest) => rest.to_string(),
        (thousands, rest) => format!("{thousands},{rest:03}"),
    }
}

fn show_ratio(ratio: f64) -> String {
    if ratio < 0.05 {
        format!("1/{:.0}", 1.0 / ratio)
    } else {
        digits(ratio)
    }
}

fn range(values: &[f64]) -> (f64, f64) {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    (least, values.iter().copied().fold(0.0, f64::max))
}

pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

/// The value that the share `rank` (0 to 1) of the values is below.
pub fn percentile(values: &[f64], rank: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss
    )]
    let place = ((sorted.len() - 1) as f64 * rank).round() as usize;
    sorted[place]
}
