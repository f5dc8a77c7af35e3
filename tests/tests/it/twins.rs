//! Two processes under one cluster's uuid, and what only looks like that.

use std::time::Duration;

use mesh_harness::{Logs, Mesh, TestResult};

use crate::raw::RawPeer;

const WORDS: &str = "two peers live under one cluster's uuid";

/// Longer than anybody takes to find out; time stands still meanwhile.
const LONG: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn two_processes_under_one_uuid_are_told_of_once_with_both_addresses() -> TestResult {
    let logs = Logs::capture();
    let copied = Mesh::builder().clusters(2).configure_clusters(|index, cluster| {
        cluster.uuid(Mesh::uuid_of(0)).name(format!("copy-{index}"))
    });
    let mesh = copied.start().await?;
    tokio::time::sleep(LONG).await;
    let lines = logs.lines_with(WORDS);
    let [line] = &lines[..] else { panic!("{lines:?}") };
    let uuid = format!("cluster=\"{}\"", Mesh::uuid_of(0));
    for part in ["WARN", "peer=\"memory\"", "other=\"memory\"", &uuid, "name=\"copy-"] {
        assert!(line.contains(part), "{part}: {line}");
    }

    mesh.cluster(1).stop().await;
    tokio::time::sleep(LONG).await;
    mesh.cluster(1).restart().await?;
    tokio::time::sleep(LONG).await;
    assert_eq!(logs.lines_with(WORDS).len(), 2, "it is there again");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_comes_back_is_not_taken_for_two() -> TestResult {
    let logs = Logs::capture();
    let mesh = Mesh::builder().start().await?;
    mesh.cluster(0).crash().await;
    mesh.cluster(0).restart().await?;
    mesh.settled().await?;
    mesh.link(0, 0).cut();
    mesh.link(0, 0).heal();
    mesh.settled().await?;
    tokio::time::sleep(LONG).await;
    assert_eq!(logs.lines_with(WORDS), [""; 0]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_older_connection_that_nobody_answers_on_is_no_second_cluster() -> TestResult {
    let logs = Logs::capture();
    let mesh = Mesh::builder().clusters(0).start().await?;
    let mut older = RawPeer::admitted(&mesh, &Mesh::uuid_of(0).to_string()).await?;
    assert!(older.replies_until_ping().await?.is_empty());
    mesh.add_cluster().await?;
    mesh.settled().await?;
    assert_eq!(logs.lines_with("a cluster is connected").len(), 2);
    tokio::time::sleep(LONG).await;
    assert_eq!(logs.lines_with(WORDS), [""; 0]);
    Ok(())
}
