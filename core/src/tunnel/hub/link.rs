//! One agent's link at the hub: the hello, its place in the registry, and its end.

use super::{
    registry::LinkId,
    shared::{Member, Shared, clock},
    welcome::OnItsWay,
};
use crate::{
    address::Address,
    budget::Permit,
    config::TunnelCarrier,
    error::ConnectionError,
    events::EventKind,
    transport::{Listener, Stream},
    tunnel::{
        auth::Claim,
        carrier::{Carrier, Driving, Lost},
        counts::What,
        ending::finish_by,
        greet::{self, First},
        hello::{ALPN, Head, Hello, Malformed, Verdict},
        native, packet,
        prefixed::Prefixed,
    },
};
use bytes::Bytes;
use std::{error::Error, sync::Arc, time::Duration};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::Status;

const NOT_PROVED: &str = "the agent has not proved that it stands for this cluster";
const FULL: &str = "this hub has as many agents as it may";

/// Time for what is still on its way out when a link ends in order.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Lets agents in on `listener` until the hub stops. No more than `max_hellos` are heard at one time; the next wait
/// in the backlog. At an open door agents of packets may claim what nothing is bound to.
pub(super) async fn accept_agents(shared: Arc<Shared>, listener: Listener, is_open_door: bool) {
    let mut incoming = shared.incoming(listener);
    loop {
        let hello = tokio::select! {
            biased;
            () = shared.stopping.cancelled() => return,
            hello = shared.hellos.acquire() => hello,
        };
        let Some(stream) = incoming.next().await else { return };
        let task = serve(Arc::clone(&shared), stream, is_open_door, hello);
        shared.tasks.spawn_on(task, shared.network.runtime());
    }
}

async fn serve(shared: Arc<Shared>, stream: Stream, is_open_door: bool, hearing: Permit) {
    let from = stream.context().source.clone();
    let greeted = timeout(shared.config.link.hello_timeout, greet(&shared, stream, is_open_door));
    let greeted = tokio::select! {
        biased;
        () = shared.stopping.cancelled() => return,
        greeted = greeted => greeted,
    };
    drop(hearing);
    match greeted {
        Ok(Ok(Greeted { hello, link, driver, permit, on_its_way })) => {
            run(&shared, &hello, link, driver, on_its_way).await;
            drop(permit);
        }
        refused => {
            let (mut told, mut error) = (None, None);
            match &refused {
                Ok(Err(TurnedAway::Told(why))) => told = Some(&**why),
                Ok(Err(TurnedAway::Broken(broken))) => error = Some(broken as &dyn Error),
                Ok(Err(TurnedAway::Lost(broken))) => error = Some(broken as &dyn Error),
                Ok(Ok(_)) | Err(_) => {}
            }
            tracing::warn!(
                from = from.map(tracing::field::display),
                told,
                error,
                "an agent was turned away"
            );
            shared.counts.add(What::Failed);
        }
    }
}

struct Greeted<'a> {
    hello: Hello,
    link: Arc<dyn Carrier>,
    driver: Driving,
    permit: Permit,
    on_its_way: OnItsWay<'a>,
}

enum TurnedAway {
    /// It was told why.
    Told(Box<str>),
    Broken(ConnectionError),
    Lost(Lost),
}

impl From<ConnectionError> for TurnedAway {
    fn from(error: ConnectionError) -> Self {
        Self::Broken(error)
    }
}

impl From<Lost> for TurnedAway {
    fn from(lost: Lost) -> Self {
        match lost {
            Lost::Status { text, .. } => Self::Told(text),
            lost => Self::Lost(lost),
        }
    }
}

/// Hears which carrier is spoken, and who speaks. A carrier that this hub does not take is no hello.
async fn greet(
    shared: &Shared,
    stream: Stream,
    is_open_door: bool,
) -> Result<Greeted<'_>, TurnedAway> {
    let takes = |carrier| shared.config.carriers.contains(&carrier);
    let speaks_packets = stream.tls().is_some() && greet::is_agreed(&stream, TunnelCarrier::Packet);
    if speaks_packets && takes(TunnelCarrier::Packet) {
        return greet_caller(shared, stream, Bytes::new(), is_open_door).await;
    }
    match greet::hear_first(&stream).await? {
        First::Http2(begun) if takes(TunnelCarrier::Packet) && stream.tls().is_none() => {
            let begun = Bytes::copy_from_slice(&begun);
            greet_caller(shared, stream, begun, is_open_door).await
        }
        First::Http2(_) => greet_native(shared, stream, Err(Malformed::Magic)).await,
        First::Hello(Ok(_)) if !takes(TunnelCarrier::Native) => {
            let text = "this hub takes no agents of the native carrier";
            Err(turn_away(&stream, Verdict::OtherVersion, text).await)
        }
        First::Hello(head) => greet_native(shared, stream, head).await,
    }
}

/// Lets an agent of packets in, if it has proved its name.
async fn greet_caller(
    shared: &Shared,
    stream: Stream,
    begun: Bytes,
    is_open_door: bool,
) -> Result<Greeted<'_>, TurnedAway> {
    let (connection, tls) = (stream.context().clone(), stream.tls().cloned());
    let instance = std::array::from_fn(|_| fastrand::u8(..));
    let stream = Prefixed::new(begun, stream);
    let arrival = packet::hear(stream, shared.packet_limits(), instance).await?;
    let hello = arrival.hello.clone();
    let claim = Claim {
        cluster: hello.cluster.clone(),
        token: hello.token.clone(),
        connection,
        tls,
        is_open_door,
    };
    if !shared.authenticator.verify(&claim).await {
        return Err(arrival.turn_away(Status::permission_denied(NOT_PROVED)).await.into());
    }
    let Some(permit) = shared.agents.try_acquire() else {
        return Err(arrival.turn_away(Status::resource_exhausted(FULL)).await.into());
    };
    let on_its_way = shared.welcomed.expect(&hello.cluster);
    let (link, driver) = arrival.welcome(Arc::clone(&shared.ids))?;
    Ok(Greeted { hello, link, driver, permit, on_its_way })
}

async fn greet_native(
    shared: &Shared,
    stream: Stream,
    head: Result<Head, Malformed>,
) -> Result<Greeted<'_>, TurnedAway> {
    let hello = match greet::hear_rest(&stream, head).await? {
        Ok(hello) => hello,
        Err(malformed) => {
            let (verdict, text) = greet::verdict_on(malformed);
            return Err(turn_away(&stream, verdict, &text).await);
        }
    };
    if !greet::is_agreed(&stream, TunnelCarrier::Native) {
        let text = format!("over TLS, {ALPN} must be agreed on as the application protocol");
        return Err(turn_away(&stream, Verdict::OtherVersion, &text).await);
    }
    let claim = Claim {
        cluster: hello.cluster.clone(),
        token: hello.token.clone(),
        connection: stream.context().clone(),
        tls: stream.tls().cloned(),
        is_open_door: false,
    };
    if !shared.authenticator.verify(&claim).await {
        return Err(turn_away(&stream, Verdict::NotProved, NOT_PROVED).await);
    }
    let Some(permit) = shared.agents.try_acquire() else {
        return Err(turn_away(&stream, Verdict::Full, FULL).await);
    };
    let on_its_way = shared.welcomed.expect(&hello.cluster);
    greet::answer(&stream, Verdict::Welcome, "").await?;
    let (link, driver) =
        native::connect(stream, shared.native_limits()).await.map_err(Lost::from)?;
    let (link, driver) = (Arc::new(link), Box::pin(driver.run()));
    Ok(Greeted { hello, link, driver, permit, on_its_way })
}

async fn turn_away(stream: &Stream, verdict: Verdict, why: &str) -> TurnedAway {
    match greet::answer(stream, verdict, why).await {
        Ok(()) => TurnedAway::Told(why.into()),
        Err(error) => TurnedAway::Broken(error),
    }
}

async fn run(
    shared: &Arc<Shared>,
    hello: &Hello,
    link: Arc<dyn Carrier>,
    mut driver: Driving,
    on_its_way: OnItsWay<'_>,
) {
    let (joined, replaced) = Joined::new(shared, hello, &link);
    drop(on_its_way);
    // `Some` once the driver is done, which must not be asked again.
    let over = tokio::select! {
        biased;
        _ = shared.cut.ordered() => None,
        answer = &mut driver => Some(answer),
        () = replaced.cancelled() => {
            shared.counts.add(What::Replaced);
            let grace = shared.config.replaced_grace.from(clock());
            let leave = async {
                link.tell_replaced().await;
                link.emptied().await;
            };
            tokio::select! {
                biased;
                _ = shared.cut.ordered() => None,
                answer = &mut driver => Some(answer),
                _ = finish_by(grace, leave) => None,
            }
        }
        () = shared.finished.cancelled() => None,
    };
    joined.leave();
    drop(link);
    if over.is_none() && !shared.cut.is_ordered() {
        // Nobody opens anything any more; what was written is sent, and the link closes by itself.
        let _ = timeout(LAST_WORDS, driver).await;
    }
    let error = over.as_ref().and_then(|over| over.as_ref().err());
    let error = error.map(|error| error as &dyn Error);
    tracing::info!(cluster = %hello.cluster, error, "agent left");
}

/// A link in the registry. Its end is counted also where the runtime ends under its task.
struct Joined {
    shared: Arc<Shared>,
    cluster: Box<str>,
    id: LinkId,
}

impl Joined {
    /// Puts a link into the registry, and tells those whose place it takes.
    fn new(
        shared: &Arc<Shared>,
        hello: &Hello,
        link: &Arc<dyn Carrier>,
    ) -> (Self, CancellationToken) {
        let replaced = CancellationToken::new();
        let member = Arc::new(Member { carrier: Arc::clone(link), replaced: replaced.clone() });
        let registered = {
            let mut registry = shared.registry.lock();
            registry.register(&hello.cluster, hello.instance, member, || shared.books())
        };
        for member in registered.displaced {
            member.replaced.cancel();
        }
        shared.joined.notify_waiters();
        let cluster = hello.cluster.clone();
        let joined = Self { shared: Arc::clone(shared), cluster, id: registered.id };
        shared.counts.add(What::Opened);
        shared.record(EventKind::LinkUp, &joined.address());
        tracing::info!(cluster = %hello.cluster, "agent joined");
        (joined, replaced)
    }

    fn address(&self) -> Address {
        Address::Tunnel(self.cluster.clone())
    }

    /// Opens nothing new.
    fn leave(&self) {
        let member = self.shared.registry.lock().remove(&self.cluster, self.id);
        drop(member);
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        self.leave();
        self.shared.counts.add(What::Closed);
        self.shared.record(EventKind::LinkDown, &self.address());
    }
}
