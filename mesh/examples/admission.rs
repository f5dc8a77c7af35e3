//! A region that admits clusters by a command of its own, and a cluster that asks it to.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;

use amp_proto::{Command, CommandError, Peer, Region, responders};
use cluster::{ClusterController, RegistrationRefused};
use region::{Admission, Admissions, Client, ClusterId, Listen, RegionController, Secret};

// ANCHOR: command
/// Ask to be taken in.
#[derive(Clone, Debug, PartialEq, Command)]
#[command(answered_by = Region, errors = NotOnTheList)]
struct RegisterCellar {
    uuid: String,
    hostname: String,
}

#[derive(Debug, PartialEq, thiserror::Error, CommandError)]
enum NotOnTheList {
    #[error("{0}")]
    #[code("NOT_ON_THE_LIST")]
    NotOnTheList(String),
}
// ANCHOR_END: command

// ANCHOR: region
struct Tower {
    admissions: Admissions,
    list: Vec<&'static str>,
}

#[responders]
impl Tower {
    #[responder]
    async fn register(&self, it: RegisterCellar, peer: &Peer) -> Result<(), NotOnTheList> {
        let refused = |why: &str| NotOnTheList::NotOnTheList(why.into());
        if !self.list.contains(&it.hostname.as_str()) {
            return Err(refused("who are you?"));
        }
        let cluster: ClusterId = it.uuid.parse().map_err(|_| refused("that is no uuid"))?;
        let admitted = self.admissions.admit(peer, cluster, Some(it.hostname));
        admitted.map_err(|error| refused(&error.to_string()))
    }
}
// ANCHOR_END: region

// ANCHOR: cluster
async fn register(region: Client<Region>, uuid: ClusterId) -> Result<(), RegistrationRefused> {
    let it = RegisterCellar { uuid: uuid.to_string(), hostname: "stockholm".into() };
    region.call(it).await.map_err(|error| RegistrationRefused { reason: error.to_string() })
}
// ANCHOR_END: cluster

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (secret, stockholm) = (Secret::generate(), ClusterId::random());

    let region = RegionController::builder().listen(Listen::loopback()).secret(secret.clone());
    let region = region.admission(Admission::Application);
    let tower = Tower { admissions: region.admissions(), list: vec!["stockholm", "bilbao"] };
    let region = region.responders(tower).start().await?;

    let cluster = ClusterController::builder().uuid(stockholm).secret(secret);
    let cluster = cluster.region(region.address());
    let cluster = cluster.registration(move |region| register(region, stockholm)).start().await?;

    let client = region.get_client_for(stockholm).await?;
    println!("{} is in: {:?} to and fro", client.name(), client.ping().await?);

    cluster.shutdown().await;
    region.shutdown().await;
    Ok(())
}
