//! What to type in another terminal.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::mesh::Mesh;
use crate::terminal::Style;

/// Writes commands that can be pasted: first the one that says where the mesh is.
///
/// # Errors
/// Those of `out`.
pub(super) fn write(
    mesh: &Mesh,
    data_dir: &Path,
    out: &mut (dyn Write + Send),
    style: Style,
) -> io::Result<()> {
    let cluster = mesh.clusters.first().map_or("any", |cluster| cluster.name.as_str());
    writeln!(out, "The mesh stays up until Ctrl-C. In another terminal:\n")?;
    for line in lines(&program(), data_dir, cluster) {
        writeln!(out, "  {}", style.strong(&line))?;
    }
    writeln!(out)
}

fn lines(program: &Path, data_dir: &Path, cluster: &str) -> Vec<String> {
    let commands = [
        "ls".to_owned(),
        format!("describe {cluster}"),
        "call all EatCheez name=Gouda origin=Holland age_months=18".to_owned(),
        "call region RateCheez name=Gouda rating=7".to_owned(),
        format!("ping {cluster} -c 3"),
        format!("call {cluster} AgeCheez name=Gouda seconds=20"),
    ];
    let place = format!("export AMPMESH_DATA_DIR={}", quoted(data_dir));
    let program = quoted(program);
    let commands = commands.into_iter().map(|command| format!("{program} {command}"));
    std::iter::once(place).chain(commands).collect()
}

/// This program as it was typed, if it can be typed so anywhere.
fn program() -> PathBuf {
    let typed = std::env::args_os().next().map(PathBuf::from);
    let is_bare = |path: &PathBuf| path.components().count() == 1;
    let own = || std::env::current_exe().ok();
    typed.filter(is_bare).or_else(own).unwrap_or_else(|| PathBuf::from("ampmesh"))
}

/// A path as a shell takes it for one word.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-+:@%".contains(letter);
    if text.chars().all(plain) {
        text.into_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_with_blanks_and_quotes_are_one_word() {
        assert_eq!(quoted(Path::new("/tmp/ampmesh-dev-1")), "/tmp/ampmesh-dev-1");
        assert_eq!(quoted(Path::new("/it's here")), r"'/it'\''s here'");
    }

    #[test]
    fn the_place_is_said_once_and_every_line_can_be_pasted() {
        let lines = lines(Path::new("ampmesh"), Path::new("/tmp/a b"), "cluster-1");
        assert_eq!(lines[..2], ["export AMPMESH_DATA_DIR='/tmp/a b'", "ampmesh ls"]);
        assert!(lines[1..].iter().all(|line| line.starts_with("ampmesh ")), "{lines:?}");
        assert!(lines[1..].iter().all(|line| !line.contains("/tmp")), "{lines:?}");
    }
}
