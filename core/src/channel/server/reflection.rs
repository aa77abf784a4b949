//! gRPC's reflection service (`v1` and `v1alpha`): tells clients which services there are and what they take.

use super::{
    descriptors::Descriptors,
    methods::{Incoming, Messages, Outcome},
};
use bytes::Bytes;
use prost::{Message, Oneof};
use std::{collections::BTreeSet, sync::Arc};
use tokio_stream::StreamExt as _;
use tonic::{Code, Response, Status};

/// The service, under both of its names.
pub(super) const SERVICES: [&str; 2] =
    ["grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"];

/// What is told.
#[derive(Debug)]
pub(super) struct Reflection {
    pub(super) descriptors: Arc<Descriptors>,
    /// Services that are served.
    pub(super) services: BTreeSet<Box<str>>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct ReflectionRequest {
    #[prost(string, tag = "1")]
    pub(super) host: String,
    #[prost(oneof = "Question", tags = "3, 4, 5, 6, 7")]
    pub(super) question: Option<Question>,
}

#[derive(Clone, PartialEq, Eq, Oneof)]
pub(super) enum Question {
    #[prost(string, tag = "3")]
    File(String),
    #[prost(string, tag = "4")]
    Symbol(String),
    #[prost(message, tag = "5")]
    Extension(ExtensionRequest),
    #[prost(string, tag = "6")]
    Extensions(String),
    #[prost(string, tag = "7")]
    Services(String),
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct ExtensionRequest {
    #[prost(string, tag = "1")]
    pub(super) message: String,
    #[prost(int32, tag = "2")]
    pub(super) number: i32,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct ReflectionResponse {
    #[prost(string, tag = "1")]
    pub(super) host: String,
    #[prost(message, optional, tag = "2")]
    pub(super) request: Option<ReflectionRequest>,
    #[prost(oneof = "Told", tags = "4, 5, 6, 7")]
    pub(super) told: Option<Told>,
}

#[derive(Clone, PartialEq, Eq, Oneof)]
pub(super) enum Told {
    #[prost(message, tag = "4")]
    Files(Files),
    #[prost(message, tag = "5")]
    Extensions(Extensions),
    #[prost(message, tag = "6")]
    Services(Services),
    #[prost(message, tag = "7")]
    Error(Refusal),
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct Files {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub(super) files: Vec<Bytes>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct Extensions {
    #[prost(string, tag = "1")]
    pub(super) message: String,
    #[prost(int32, repeated, tag = "2")]
    pub(super) numbers: Vec<i32>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct Services {
    #[prost(message, repeated, tag = "1")]
    pub(super) services: Vec<ServiceName>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct ServiceName {
    #[prost(string, tag = "1")]
    pub(super) name: String,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct Refusal {
    #[prost(int32, tag = "1")]
    pub(super) code: i32,
    #[prost(string, tag = "2")]
    pub(super) text: String,
}

/// Whether a path is that of the service.
pub(super) fn is_reflection(path: &str) -> bool {
    let service =
        path.strip_prefix('/').and_then(|path| path.strip_suffix("/ServerReflectionInfo"));
    service.is_some_and(|service| SERVICES.contains(&service))
}

impl Reflection {
    /// Answers each question of a call, in order.
    pub(super) fn answer(self: Arc<Self>, incoming: Incoming) -> Outcome {
        let answers = incoming.into_inner().map(move |message| {
            let request = ReflectionRequest::decode(message?)
                .map_err(|error| Status::invalid_argument(error.to_string()))?;
            Ok(self.tell(request)?.encode_to_vec().into())
        });
        Ok(Response::new(Box::pin(answers) as Messages))
    }

    fn tell(&self, request: ReflectionRequest) -> Result<ReflectionResponse, Status> {
        let told = match &request.question {
            None => return Err(Status::invalid_argument("the request asks for nothing")),
            Some(Question::File(name)) => files(self.descriptors.file(name)),
            Some(Question::Symbol(name)) => files(self.descriptors.of_symbol(name)),
            Some(Question::Extension(asked)) => {
                files(self.descriptors.of_extension(&asked.message, asked.number))
            }
            Some(Question::Extensions(message)) => match self.descriptors.extensions(message) {
                Some(numbers) => Told::Extensions(Extensions { message: message.clone(), numbers }),
                None => unknown(),
            },
            Some(Question::Services(_)) => {
                let names = self.services.iter().map(ToString::to_string);
                let services = names.map(|name| ServiceName { name }).collect();
                Told::Services(Services { services })
            }
        };
        let host = request.host.clone();
        Ok(ReflectionResponse { host, request: Some(request), told: Some(told) })
    }
}

fn files(found: Option<Vec<Bytes>>) -> Told {
    found.map_or_else(unknown, |files| Told::Files(Files { files }))
}

fn unknown() -> Told {
    Told::Error(Refusal {
        code: Code::NotFound as i32,
        text: "nothing of that name is known".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::{super::descriptors::tests::set, *};
    use crate::{
        channel::{CallOptions, Channel, ChannelServer, Methods},
        config::{ChannelServerConfig, ConnectionConfig},
        transport::Network,
    };

    async fn serve(network: &Network) -> ChannelServer {
        let listener = network.listen(&"mem:a".parse().unwrap()).await.unwrap();
        let methods = Methods::new()
            .unary("/shop.Orders/Place", |_| async { Err(Status::internal("no")) })
            .reflection(&set())
            .unwrap();
        ChannelServer::start(network, listener, methods, ChannelServerConfig::default()).unwrap()
    }

    /// Asks all of these on one call.
    async fn ask(network: &Network, service: &str, questions: Vec<Question>) -> Vec<Told> {
        let channel = Channel::new(network, "mem:a", ConnectionConfig::default()).unwrap();
        let method = format!("/{service}/ServerReflectionInfo");
        let call = channel.call(&method, CallOptions::default()).unwrap();
        let mut answers = Vec::new();
        for question in questions {
            let request = ReflectionRequest { host: "h".into(), question: Some(question) };
            call.send(request.encode_to_vec().into()).await.unwrap();
            let answer = call.receive().await.unwrap().unwrap();
            let answer = ReflectionResponse::decode(answer).unwrap();
            assert_eq!((answer.host.as_str(), answer.request), ("h", Some(request)));
            answers.push(answer.told.unwrap());
        }
        call.finish_sending();
        assert_eq!(call.receive().await.unwrap(), None);
        answers
    }

    fn files(told: &Told) -> usize {
        match told {
            Told::Files(files) => files.files.len(),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_learns_what_is_served_and_what_it_takes() {
        let network = Network::new(tokio::runtime::Handle::current());
        let _server = serve(&network).await;
        for service in SERVICES {
            let questions = vec![
                Question::Services(String::new()),
                Question::Symbol("shop.Orders".into()),
                Question::File("base.proto".into()),
                Question::Extensions("shop.Item".into()),
                Question::Extension(ExtensionRequest { message: "shop.Item".into(), number: 100 }),
                Question::Symbol("shop.Nothing".into()),
            ];
            let told = ask(&network, service, questions).await;
            let Told::Services(services) = &told[0] else { panic!("{told:?}") };
            let names: Vec<_> = services.services.iter().map(|one| one.name.as_str()).collect();
            assert_eq!(names, ["grpc.health.v1.Health", SERVICES[0], SERVICES[1], "shop.Orders"]);
            assert_eq!((files(&told[1]), files(&told[2]), files(&told[4])), (2, 1, 2));
            let Told::Extensions(extensions) = &told[3] else { panic!("{told:?}") };
            assert_eq!(extensions.numbers, [100]);
            let Told::Error(refusal) = &told[5] else { panic!("{told:?}") };
            assert_eq!(refusal.code, Code::NotFound as i32);
        }
    }

    #[test]
    fn what_is_no_set_of_files_is_refused() {
        let error = Methods::new().reflection(b"\xff\xff").unwrap_err().to_string();
        assert!(error.contains("no set of files"), "{error}");
    }
}
