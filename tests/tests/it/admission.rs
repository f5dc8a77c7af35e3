//! Clusters that are admitted by a command of the application's own, as MAAS does it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use amp_proto::{Arguments, Command, CommandError, Peer, Region, responders};
use cluster::RegistrationRefused;
use mesh::{Client, ClusterId};
use mesh_harness::{Logs, Mesh, MeshBuilder, TestResult};
use region::{Admission, Admissions, ClientError};
use tokio::time::Instant;

use crate::desk::{Desk, Sum, Total};
use crate::raw::{RawPeer, box_of};

/// Present a rack controller.
#[derive(Clone, Debug, PartialEq, Command)]
#[command(answered_by = Region, response = RackRegistered, errors = CannotRegister)]
struct RegisterRackController {
    system_id: String,
    hostname: String,
}

#[derive(Clone, Debug, PartialEq, Arguments)]
struct RackRegistered {
    system_id: String,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, CommandError)]
#[non_exhaustive]
enum CannotRegister {
    #[error("{0}")]
    #[code("CANNOT_REGISTER")]
    CannotRegister(String),
}

/// The region's side: takes every rack whose name is not on the list.
struct Tower {
    admissions: Admissions,
    barred: Arc<Mutex<Vec<String>>>,
    takes: Duration,
}

#[responders]
impl Tower {
    #[responder]
    async fn register(
        &self,
        rack: RegisterRackController,
        peer: &Peer,
    ) -> Result<RackRegistered, CannotRegister> {
        tokio::time::sleep(self.takes).await;
        let refused = |why: &dyn ToString| CannotRegister::CannotRegister(why.to_string());
        if self.barred.lock().unwrap().contains(&rack.hostname) {
            return Err(refused(&format!("{} is barred", rack.hostname)));
        }
        let cluster: ClusterId = rack.system_id.parse().map_err(|error| refused(&error))?;
        let admitted = self.admissions.admit(peer, cluster, Some(rack.hostname));
        admitted.map_err(|error| refused(&error))?;
        Ok(RackRegistered { system_id: cluster.to_string() })
    }
}

/// The cluster's side.
async fn register(index: usize, region: Client<Region>) -> Result<(), RegistrationRefused> {
    let system_id = Mesh::uuid_of(index).to_string();
    let hostname = format!("rack-{index}");
    let registered = region.call(RegisterRackController { system_id, hostname }).await;
    registered.map(drop).map_err(|error| RegistrationRefused { reason: error.to_string() })
}

fn registering(takes: Duration) -> (Arc<Mutex<Vec<String>>>, MeshBuilder) {
    let barred: Arc<Mutex<Vec<String>>> = Arc::default();
    let list = Arc::clone(&barred);
    let builder = Mesh::builder()
        .configure_regions(move |_, region| {
            let (admissions, barred) = (region.admissions(), Arc::clone(&list));
            let tower = Tower { admissions, barred, takes };
            region.admission(Admission::Application).responders(tower)
        })
        .configure_clusters(|index, cluster| {
            cluster.registration(move |region| register(index, region))
        })
        .cluster_responders(|_| Desk::default());
    (barred, builder)
}

#[tokio::test(start_paused = true)]
async fn a_cluster_is_found_once_the_application_has_admitted_it() -> TestResult {
    let (_, builder) = registering(Duration::ZERO);
    let mesh = builder.regions(2).clusters(3).start().await?;
    for region in mesh.regions() {
        let client = region.get_client_for(Mesh::uuid_of(1)).await?;
        assert_eq!(client.name(), "rack-1");
        assert_eq!(client.call(Sum { a: 1, b: 1 }).await?, Total { total: 2 });
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_region_is_given_out_after_the_registration_and_not_before() -> TestResult {
    let (_, builder) = registering(Duration::from_secs(3));
    let mesh = builder.clusters(0).start().await?;
    let started = Instant::now();
    let cluster = mesh.add_cluster().await?;
    let region = cluster.get_client().await?;
    assert_eq!(started.elapsed(), Duration::from_secs(3));
    let admitted = mesh.region(0).get_client_for(cluster.uuid()).await?;
    assert!(region.is_open() && admitted.is_open());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_is_refused_stays_out_until_the_application_changes_its_mind() -> TestResult
{
    let logs = Logs::capture();
    let (barred, builder) = registering(Duration::ZERO);
    barred.lock().unwrap().push("rack-1".to_owned());
    let mesh = builder.clusters(1).start().await?;
    let refused = mesh.add_cluster().await?;
    let nobody = mesh.region(0).get_client_for(refused.uuid()).await;
    assert!(matches!(nobody, Err(ClientError::NoConnections { .. })));
    assert!(refused.get_all_clients().is_empty());
    let lines = logs.lines_with("a region refused us");
    assert!(lines[0].contains("rack-1 is barred"), "{lines:?}");
    let attempts = mesh.transcript().of_link(0, 1).lines;
    assert!(attempts.iter().filter(|line| line.text == "connected").count() <= 3);

    barred.lock().unwrap().clear();
    tokio::time::sleep(Duration::from_secs(60)).await;
    mesh.settled().await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn to_prove_the_secret_is_not_enough() -> TestResult {
    let (_, builder) = registering(Duration::ZERO);
    let mesh = builder.clusters(0).start().await?;
    let (region, uuid) = (mesh.region(0), Mesh::uuid_of(7));
    let mut peer = RawPeer::admitted(&mesh, &uuid.to_string()).await?;
    let ident = uuid.to_string();
    let fields = [
        ("_ask", &b"1"[..]),
        ("_command", b"RegisterCluster"),
        ("name", b"x"),
        ("uuid", ident.as_bytes()),
        ("version", b"1"),
    ];
    peer.send(&box_of(fields)).await?;
    assert_eq!(peer.next_reply().await.unwrap().get("admitted").unwrap(), "False");
    assert!(region.get_all_clients().is_empty());

    let register = |tag: &'static [u8], system_id: &str| {
        let system_id = system_id.as_bytes().to_vec();
        box_of([
            ("_ask", tag),
            ("_command", b"RegisterRackController"),
            ("hostname", b"rack-7"),
            ("system_id", &system_id),
        ])
    };
    // Twice under one name is as good as once; under another it is refused.
    for tag in [b"2", b"3"] {
        peer.send(&register(tag, &ident)).await?;
        assert_eq!(peer.next_reply().await.unwrap().get("system_id").unwrap(), &ident);
        assert_eq!(region.get_all_clients().len(), 1);
    }
    peer.send(&register(b"4", &Mesh::uuid_of(8).to_string())).await?;
    let refused = peer.next_reply().await.unwrap();
    assert_eq!(refused.get("_error_code").unwrap(), "CANNOT_REGISTER");
    let words = String::from_utf8_lossy(refused.get("_error_description").unwrap()).into_owned();
    assert!(words.contains(&ident), "{words}");
    assert_eq!(region.get_all_clients().len(), 1);
    Ok(())
}
