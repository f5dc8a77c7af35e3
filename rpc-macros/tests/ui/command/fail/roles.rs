use amp_proto::Command;

#[derive(Command)]
#[command(answered_by(any, Region))]
struct Twice;

#[derive(Command)]
#[command(answered_by())]
struct Nobody;

#[derive(Command)]
#[command(answered_by)]
struct Unsaid;

#[derive(Command)]
#[command(answered_by = Region, answered_by = Cluster)]
struct Again;

fn main() {}
