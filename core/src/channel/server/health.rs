//! The health service: what a server says of itself and of each service, asked once, watched, or listed.

use super::{
    super::{
        health::ServingStatus,
        messages::{HealthCheckRequest, HealthListResponse},
    },
    methods::{Incoming, Messages, Outcome},
};
use bytes::Bytes;
use prost::Message;
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};
use tokio::sync::watch;
use tokio_stream::{StreamExt as _, wrappers::WatchStream};
use tonic::{Response, Status};

/// More services than this are not listed.
const MOST_LISTED: usize = 100;

/// Says what a server's health service answers.
///
/// The server as a whole (whose name is empty) and every service that has a method are SERVING until something else is
/// set. Clones speak of one server. Who watches hears each change, and of changes in short succession the last.
#[derive(Clone, Debug, Default)]
pub struct HealthReporter {
    table: watch::Sender<Arc<Table>>,
}

#[derive(Clone, Debug, Default)]
struct Table {
    /// What was set; nothing that a client names is kept.
    set: HashMap<Box<str>, ServingStatus>,
    /// Services that have a method.
    served: BTreeSet<Box<str>>,
    is_shut_down: bool,
}

/// Its name.
pub(super) const SERVICE: &str = "grpc.health.v1.Health";

impl HealthReporter {
    /// Says `status` of `service` from now on; the empty name stands for the whole server. With
    /// [`ServingStatus::ServiceUnknown`] there is no such service, whatever methods it has.
    pub fn set(&self, service: &str, status: ServingStatus) {
        self.change(|table| {
            table.set.insert(service.into(), status);
        });
    }

    /// Says what it said before [`set`](Self::set).
    pub fn clear(&self, service: &str) {
        self.change(|table| {
            table.set.remove(service);
        });
    }

    /// Says NOT_SERVING of every service, whatever is set, until [`resume`](Self::resume): clients that ask go elsewhere
    /// before the server drains.
    pub fn shut_down(&self) {
        self.change(|table| table.is_shut_down = true);
    }

    /// Takes [`shut_down`](Self::shut_down) back.
    pub fn resume(&self) {
        self.change(|table| table.is_shut_down = false);
    }

    /// What is said of `service`; `None` if there is none.
    pub fn status(&self, service: &str) -> Option<ServingStatus> {
        self.table.borrow().status(service)
    }

    /// A method of this path was added.
    pub(super) fn on_method(&self, path: &str) {
        let service = path.strip_prefix('/').and_then(|path| path.rsplit_once('/'));
        if let Some((service, _)) = service {
            self.change(|table| {
                table.served.insert(service.into());
            });
        }
    }

    fn change(&self, change: impl FnOnce(&mut Table)) {
        self.table.send_modify(|table| change(Arc::make_mut(table)));
    }

    /// The method of the health service at this path.
    pub(super) fn method(&self, path: &str) -> Option<Asked> {
        let method = path.strip_prefix('/')?.strip_prefix(SERVICE)?;
        match method.strip_prefix('/')? {
            "Check" => Some(Asked::Check),
            "List" => Some(Asked::List),
            "Watch" => Some(Asked::Watch),
            _ => None,
        }
    }

    /// Answers a call of the health service.
    pub(super) async fn answer(self, asked: Asked, incoming: Incoming) -> Outcome {
        let message = incoming.into_inner().message().await?.unwrap_or_default();
        match asked {
            Asked::Check => self.check(&service_of(&message)?),
            Asked::List => self.list(),
            Asked::Watch => Ok(self.watch(service_of(&message)?)),
        }
    }

    fn check(&self, service: &str) -> Outcome {
        let status = self.status(service);
        let status = status.ok_or_else(|| Status::not_found("there is no such service"))?;
        Ok(once(&status.message()))
    }

    fn list(&self) -> Outcome {
        let table = Arc::clone(&self.table.borrow());
        let names = table.names();
        if names.len() > MOST_LISTED {
            let text = format!("there are more than {MOST_LISTED} services");
            return Err(Status::resource_exhausted(text));
        }
        let said = |name: &str| Some((name.to_owned(), table.status(name)?.message()));
        let statuses = names.into_iter().filter_map(said).collect();
        Ok(once(&HealthListResponse { statuses }))
    }

    fn watch(&self, service: Box<str>) -> Response<Messages> {
        let mut last = None;
        let changes = WatchStream::new(self.table.subscribe()).filter_map(move |table| {
            let status = table.status(&service).unwrap_or(ServingStatus::ServiceUnknown);
            (last.replace(status) != Some(status))
                .then(|| Ok(status.message().encode_to_vec().into()))
        });
        Response::new(Box::pin(changes))
    }
}

impl Table {
    fn status(&self, service: &str) -> Option<ServingStatus> {
        let is_served = service.is_empty() || self.served.contains(service);
        let status = match self.set.get(service) {
            Some(ServingStatus::ServiceUnknown) => None,
            Some(status) => Some(*status),
            None => is_served.then_some(ServingStatus::Serving),
        }?;
        Some(if self.is_shut_down { ServingStatus::NotServing } else { status })
    }

    fn names(&self) -> BTreeSet<&str> {
        let known = self.served.iter().chain(self.set.keys()).map(|name| &**name);
        known.chain([""]).filter(|name| self.status(name).is_some()).collect()
    }
}

/// A method of the health service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Check,
    List,
    Watch,
}

fn service_of(message: &[u8]) -> Result<Box<str>, Status> {
    let request = HealthCheckRequest::decode(message);
    Ok(request.map_err(|error| Status::invalid_argument(error.to_string()))?.service.into())
}

fn once(message: &impl Message) -> Response<Messages> {
    Response::new(Box::pin(tokio_stream::once(Ok(Bytes::from(message.encode_to_vec())))))
}
