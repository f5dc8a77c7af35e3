use amp_proto::{Arguments, Command};

#[derive(Arguments)]
struct Reading {
    celsius: i32,
}

struct Plain;

#[derive(Command)]
#[command(answered_by = Cluster, answers = Reading)]
struct WithoutTheWord;

#[derive(Command)]
#[command(answered_by = Cluster, takes = stream Plain)]
struct OfNoArguments;

#[derive(Command)]
#[command(answered_by = Cluster, answers = stream Reading, no_answer)]
struct WithoutAnEnd;

fn main() {}
