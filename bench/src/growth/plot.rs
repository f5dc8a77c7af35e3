//! What grows, as lines on two logarithmic axes.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::table::{count, thousands};
use super::{Curve, Growth};
use crate::figures::Reading;
use crate::peers::Peer;
use crate::plot::{OURS, THEIRS, text};
use crate::table::short;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 360.0;
/// Where the axes are.
const LEFT: f64 = 70.0;
const RIGHT: f64 = 500.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 310.0;
/// Where the lines are named, and how far from each other.
const NAMES: f64 = 530.0;
const LINE: f64 = 20.0;
const DASHED: &str = " stroke-dasharray=\"5 4\"";

/// One drawing.
struct Chart {
    name: &'static str,
    title: &'static str,
    curve: Curve,
    along: &'static str,
    series: &'static [Series],
}

struct Series {
    name: &'static str,
    peer: Peer,
    colour: &'static str,
    dash: &'static str,
    reading: Reading,
}

const fn series(
    name: &'static str,
    peer: Peer,
    colour: &'static str,
    dash: &'static str,
    reading: Reading,
) -> Series {
    Series { name, peer, colour, dash, reading }
}

const CHARTS: [Chart; 6] = [
    Chart {
        name: "growth-calls",
        title: "CPU µs of a small call, by connections that are open",
        curve: Curve::Connections,
        along: "connections",
        series: &[
            series("region", Peer::Ampmesh, OURS, "", |it| it.server_cpu_us),
            series("cluster", Peer::Ampmesh, OURS, DASHED, |it| it.client_cpu_us),
            series("region, TLS", Peer::AmpmeshTls, THEIRS, "", |it| it.server_cpu_us),
            series("cluster, TLS", Peer::AmpmeshTls, THEIRS, DASHED, |it| it.client_cpu_us),
        ],
    },
    Chart {
        name: "growth-opening",
        title: "CPU µs of opening a connection",
        curve: Curve::Connections,
        along: "connections",
        series: &[
            series("region", Peer::Ampmesh, OURS, "", |it| it.server_opening_us),
            series("cluster", Peer::Ampmesh, OURS, DASHED, |it| it.client_opening_us),
            series("region, TLS", Peer::AmpmeshTls, THEIRS, "", |it| it.server_opening_us),
            series("cluster, TLS", Peer::AmpmeshTls, THEIRS, DASHED, |it| it.client_opening_us),
        ],
    },
    Chart {
        name: "growth-memory",
        title: "Bytes that a connection keeps",
        curve: Curve::Connections,
        along: "connections",
        series: &[
            series("region", Peer::Ampmesh, OURS, "", |it| it.server_bytes),
            series("cluster", Peer::Ampmesh, OURS, DASHED, |it| it.client_bytes),
            series("region, TLS", Peer::AmpmeshTls, THEIRS, "", |it| it.server_bytes),
            series("cluster, TLS", Peer::AmpmeshTls, THEIRS, DASHED, |it| it.client_bytes),
        ],
    },
    Chart {
        name: "growth-idle",
        title: "CPU µs of an idle connection, each second",
        curve: Curve::Connections,
        along: "connections",
        series: &[
            series("region", Peer::Ampmesh, OURS, "", |it| it.server_idle_us),
            series("cluster", Peer::Ampmesh, OURS, DASHED, |it| it.client_idle_us),
            series("region, TLS", Peer::AmpmeshTls, THEIRS, "", |it| it.server_idle_us),
            series("cluster, TLS", Peer::AmpmeshTls, THEIRS, DASHED, |it| it.client_idle_us),
        ],
    },
    Chart {
        name: "growth-in-flight",
        title: "CPU µs of a small call, by calls under way on one connection",
        curve: Curve::InFlight,
        along: "calls under way",
        series: &[
            series("region", Peer::Ampmesh, OURS, "", |it| it.server_cpu_us),
            series("cluster", Peer::Ampmesh, OURS, DASHED, |it| it.client_cpu_us),
            series("region, TLS", Peer::AmpmeshTls, THEIRS, "", |it| it.server_cpu_us),
            series("cluster, TLS", Peer::AmpmeshTls, THEIRS, DASHED, |it| it.client_cpu_us),
        ],
    },
    Chart {
        name: "growth-clusters",
        title: "ns to find one cluster, to call it, and to list all",
        curve: Curve::Clusters,
        along: "clusters",
        series: &[
            series("get_client_for", Peer::Ampmesh, OURS, "", |it| it.find_ns),
            series("and a call", Peer::Ampmesh, OURS, DASHED, |it| Some(it.p50_us? * 1e3)),
            series("get_all_clients", Peer::Ampmesh, THEIRS, "", |it| it.list_ns),
        ],
    },
];

/// Draws all that was measured.
///
/// # Errors
/// When a file cannot be written.
pub(crate) fn plot(growth: &Growth, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for chart in &CHARTS {
        let Some(drawing) = draw(growth, chart)? else { continue };
        let path = folder.join(format!("{}.svg", chart.name));
        fs::write(&path, drawing).with_context(|| format!("cannot write {}", path.display()))?;
        println!("{}", path.display());
    }
    Ok(())
}

/// From powers of ten to places on the paper.
struct Axis {
    least: f64,
    most: f64,
    from: f64,
    to: f64,
}

impl Axis {
    fn of(values: impl Iterator<Item = f64> + Clone, from: f64, to: f64) -> Self {
        let logs = values.map(f64::log10);
        let least = logs.clone().fold(f64::INFINITY, f64::min).floor();
        let most = logs.fold(f64::NEG_INFINITY, f64::max).ceil().max(least + 1.0);
        Self { least, most, from, to }
    }

    fn place(&self, value: f64) -> f64 {
        let share = (value.log10() - self.least) / (self.most - self.least);
        self.from + share * (self.to - self.from)
    }

    /// The powers of ten on it.
    fn powers(&self) -> impl Iterator<Item = f64> {
        let next = |power: &f64| Some(power + 1.0);
        let all = std::iter::successors(Some(self.least), next);
        all.take_while(|power| *power <= self.most).map(|power| 10_f64.powf(power))
    }
}

fn draw(growth: &Growth, chart: &Chart) -> Result<Option<String>> {
    let dots: Vec<Vec<_>> = chart.series.iter().map(|it| dots(growth, chart.curve, it)).collect();
    let all = dots.iter().flatten().copied();
    if all.clone().next().is_none() {
        return Ok(None);
    }
    let across = Axis::of(all.clone().map(|(at, _)| at), LEFT, RIGHT);
    let up = Axis::of(all.map(|(_, value)| value), BOTTOM, TOP);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n"
    );
    text(&mut out, 10.0, 20.0, "start", "bold", chart.title)?;
    for power in across.powers() {
        let x = across.place(power);
        grid(&mut out, (x, TOP), (x, BOTTOM))?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at least 1")]
        text(&mut out, x, BOTTOM + 16.0, "middle", "normal", &thousands(power as usize))?;
    }
    text(&mut out, f64::midpoint(LEFT, RIGHT), BOTTOM + 36.0, "middle", "normal", chart.along)?;
    for power in up.powers() {
        let y = up.place(power);
        grid(&mut out, (LEFT, y), (RIGHT, y))?;
        text(&mut out, LEFT - 8.0, y + 4.0, "end", "normal", &short(Some(power)))?;
    }
    let mut named = TOP + LINE;
    for (series, dots) in chart.series.iter().zip(&dots).filter(|(_, dots)| !dots.is_empty()) {
        let Series { name, colour, dash, .. } = series;
        let places: Vec<_> = dots
            .iter()
            .map(|(at, value)| format!("{:.1},{:.1}", across.place(*at), up.place(*value)))
            .collect();
        writeln!(
            out,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"{dash}/>",
            places.join(" "),
        )?;
        writeln!(
            out,
            "<path d=\"M{NAMES} {:.1}h24\" stroke=\"{colour}\" stroke-width=\"2\"{dash}/>",
            named - 4.0,
        )?;
        text(&mut out, NAMES + 32.0, named, "start", "normal", name)?;
        named += LINE;
    }
    out.push_str("</svg>\n");
    Ok(Some(out))
}

fn grid(out: &mut String, from: (f64, f64), to: (f64, f64)) -> Result<()> {
    let ((x1, y1), (x2, y2)) = (from, to);
    writeln!(out, "<path d=\"M{x1:.1} {y1:.1}L{x2:.1} {y2:.1}\" stroke=\"#dddddd\"/>")?;
    Ok(())
}

/// Where the series has a figure. Memory of a few is below what can be seen, and has no logarithm.
fn dots(growth: &Growth, curve: Curve, series: &Series) -> Vec<(f64, f64)> {
    let points = growth.points(curve, series.peer);
    let dots = points.filter_map(|it| Some((count(it.at), it.median(series.reading)?)));
    dots.filter(|(_, value)| *value > 0.0).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Point;
    use super::*;
    use crate::figures::Figures;
    use crate::json::Machine;

    #[test]
    fn ten_times_as_many_is_as_far_whatever_there_was_before() {
        let point = |at: usize, find_ns| Point {
            curve: Curve::Clusters,
            peer: Peer::Ampmesh,
            at,
            rounds: vec![Figures { find_ns: Some(find_ns), ..Figures::default() }],
            missing: None,
        };
        let points = vec![point(1, 10.0), point(10, 100.0), point(100, 1000.0)];
        let growth = Growth {
            machine: Machine::default(),
            seconds: 1.0,
            points,
            whole: None,
            whole_missing: None,
        };
        let drawing = draw(&growth, &CHARTS[5]).unwrap().unwrap();
        let middle = (f64::midpoint(LEFT, RIGHT), f64::midpoint(TOP, BOTTOM));
        let line = format!(
            "points=\"{LEFT:.1},{BOTTOM:.1} {:.1},{:.1} {RIGHT:.1},{TOP:.1}\"",
            middle.0, middle.1
        );
        assert!(drawing.contains(&line), "{drawing}");
        assert!(draw(&growth, &CHARTS[0]).unwrap().is_none());
    }
}
