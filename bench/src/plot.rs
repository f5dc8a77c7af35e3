//! Figures as drawings: one SVG for each group of scenarios in each mode, a dot for each peer on a
//! logarithmic axis.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::figures::{Cell, Reading};
use crate::job::{Mode, Scenario, name_of};
use crate::json::Report;
use crate::table::{GROUPS, Group, measured, modes, row, short};

const WIDTH: f64 = 720.0;
/// Where the axis begins and ends.
const LEFT: f64 = 110.0;
const RIGHT: f64 = 640.0;
const LINE: f64 = 20.0;
const HEAD: f64 = 44.0;
const FOOT: f64 = 34.0;
pub(crate) const OURS: &str = "#b5421c";
pub(crate) const THEIRS: &str = "#4a6078";

/// Draws every group of every mode that the report has.
///
/// # Errors
/// When a file cannot be written.
pub(crate) fn plot(report: &Report, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for mode in modes(report) {
        for group in &GROUPS {
            let scenarios = measured(report, mode, group);
            if scenarios.is_empty() {
                continue;
            }
            let path = folder.join(format!("{}-{}.svg", name_of(mode), group.name));
            let drawing = draw(report, mode, group, &scenarios)?;
            fs::write(&path, drawing)
                .with_context(|| format!("cannot write {}", path.display()))?;
            println!("{}", path.display());
        }
    }
    Ok(())
}

/// One scenario, and one figure of it.
struct Panel<'a> {
    title: String,
    dots: Vec<(&'a Cell, f64)>,
}

fn panels<'a>(
    report: &'a Report,
    mode: Mode,
    group: &Group,
    scenarios: &[Scenario],
) -> Vec<Panel<'a>> {
    let panel = |scenario: Scenario, unit: &str, reading: Reading| {
        let cells = row(report, mode, scenario).into_iter();
        let dots = cells.filter_map(|cell| Some((cell, cell.median(reading)?)));
        let dots = dots.filter(|(_, value)| *value > 0.0).collect();
        Panel { title: format!("{}, {}", scenario.name(), unit.trim()), dots }
    };
    let all = scenarios.iter().flat_map(|scenario| {
        group.readings.iter().map(move |(unit, reading)| panel(*scenario, unit, *reading))
    });
    all.filter(|panel| !panel.dots.is_empty()).collect()
}

fn draw(report: &Report, mode: Mode, group: &Group, scenarios: &[Scenario]) -> Result<String> {
    let panels = panels(report, mode, group, scenarios);
    let mut body = String::new();
    let mut y = 30.0;
    let title = format!("{}: {}", group.title, mode.title());
    text(&mut body, 10.0, 20.0, "start", "bold", &title)?;
    for panel in &panels {
        y = draw_panel(&mut body, panel, y)?;
    }
    Ok(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {y}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{y}\" fill=\"white\"/>\n{body}</svg>\n"
    ))
}

/// Draws below `top`, and says where the next begins.
fn draw_panel(out: &mut String, panel: &Panel<'_>, top: f64) -> Result<f64> {
    let values = panel.dots.iter().map(|(_, value)| value.log10());
    let least = values.clone().fold(f64::INFINITY, f64::min).floor();
    let most = values.fold(f64::NEG_INFINITY, f64::max).ceil().max(least + 1.0);
    let place = |log: f64| LEFT + (log - least) / (most - least) * (RIGHT - LEFT);
    text(out, 10.0, top + 24.0, "start", "bold", &panel.title)?;
    let mut y = top + HEAD;
    let lines: f64 = panel.dots.iter().map(|_| LINE).sum();
    let bottom = y + lines - LINE / 2.0;
    let mut power = least;
    while power <= most {
        let x = place(power);
        writeln!(
            out,
            "<line x1=\"{x:.1}\" y1=\"{:.1}\" x2=\"{x:.1}\" y2=\"{bottom:.1}\" \
             stroke=\"#dddddd\"/>",
            y - LINE / 2.0,
        )?;
        text(out, x, bottom + 16.0, "middle", "normal", &short(Some(10_f64.powf(power))))?;
        power += 1.0;
    }
    for (cell, value) in &panel.dots {
        let name = name_of(cell.peer);
        let colour = if name.starts_with("ampmesh") { OURS } else { THEIRS };
        let x = place(value.log10());
        text(out, LEFT - 10.0, y + 4.0, "end", "normal", &name)?;
        writeln!(out, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5\" fill=\"{colour}\"/>")?;
        text(out, x + 10.0, y + 4.0, "start", "normal", &short(Some(*value)))?;
        y += LINE;
    }
    Ok(bottom + FOOT)
}

/// What is written has no characters that mean something in XML, but for those that are replaced.
pub(crate) fn text(
    out: &mut String,
    x: f64,
    y: f64,
    anchor: &str,
    weight: &str,
    words: &str,
) -> Result<()> {
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    writeln!(
        out,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" \
         font-weight=\"{weight}\">{words}</text>"
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Figures;
    use crate::json::Machine;
    use crate::peers::Peer;

    #[test]
    fn a_faster_peer_stands_further_to_the_right() {
        let cell = |peer, rate| {
            let figures = Figures { rate: Some(rate), ..Figures::default() };
            Cell { rounds: vec![Some(figures)], ..Cell::new(Mode::Single, Scenario::Stream, peer) }
        };
        let cells = vec![cell(Peer::Raw, 1e6), cell(Peer::Ampmesh, 1e4)];
        let report = Report { machine: Machine::default(), seconds: 1.0, repeats: 1, cells };
        let drawing = draw(&report, Mode::Single, &GROUPS[2], &[Scenario::Stream]).unwrap();
        assert!(drawing.contains(&format!("<circle cx=\"{RIGHT:.1}\"")), "{drawing}");
        assert!(drawing.contains(&format!("<circle cx=\"{LEFT:.1}\"")), "{drawing}");
    }
}
