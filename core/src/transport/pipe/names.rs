//! In-memory listeners: the `mem:` names, who listens on them, and who waits to be accepted.

use super::{
    PipeEnd,
    backlog::{Backlog, Ticket},
    pair,
};
use crate::{
    address::Address,
    config::{PipeConfig, TcpConfig},
    error::{ConnectionError, Place, Step},
    transport::{Accept, Accepted, Transport, locked::poll_locked},
};
use parking_lot::Mutex;
use std::{
    collections::{HashMap, hash_map::Entry},
    fmt, future, io,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};
use tokio::sync::oneshot;

/// The names that in-memory listeners have. Cheap to clone; every clone is the same table.
///
/// A table is an object and never global: two of them may hold the same name without meeting.
#[derive(Clone, Default)]
pub struct Names {
    table: Arc<Mutex<HashMap<Box<str>, Arc<Listening>>>>,
}

/// Accepts pipes on a name. Dropping it frees the name at once and refuses who waits.
///
/// Connections that stood in the backlog are aborted, those that waited for a place in it fail.
pub struct PipeListener {
    names: Names,
    listening: Arc<Listening>,
}

/// What a listener and those who connect to it share.
struct Listening {
    name: Box<str>,
    /// Held for one step of the line; ends and wakers are dropped and woken outside of it.
    line: Mutex<Line>,
}

struct Line {
    /// `None` once the listener is gone.
    backlog: Option<Backlog<Offer>>,
    /// Set only while the backlog is empty.
    acceptor: Option<Waker>,
}

/// The listener's end of a pipe whose other end a client has or will have.
struct Offer {
    end: PipeEnd,
    /// Tells a client that waits for a place; dropped unused, it tells that the listener is gone.
    admission: Option<oneshot::Sender<()>>,
}

/// A client in line. Dropped before it was admitted or refused, it takes its offer back.
struct Waiting<'a> {
    listening: &'a Listening,
    ticket: Option<Ticket>,
    admission: oneshot::Receiver<()>,
}

impl Names {
    /// The backlog to take where nobody says another.
    pub const DEFAULT_BACKLOG: u32 = 128;

    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// Listens on `name`, which has 1 to 255 bytes without spaces and control characters.
    ///
    /// `backlog` connections stand before they are accepted, at most; further clients wait in line.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::BindFailed`] with `EADDRINUSE` if somebody listens on `name`,
    /// [`ConnectionError::InvalidConfig`] for a bad name or a backlog of 0.
    pub fn listen(&self, name: &str, backlog: u32) -> Result<PipeListener, ConnectionError> {
        let address: Address = format!("mem:{name}").parse()?;
        if backlog == 0 {
            return Err(ConnectionError::invalid_config("backlog", "must be at least 1"));
        }
        let line = Line { backlog: Some(Backlog::new(backlog as usize)), acceptor: None };
        let listening = Arc::new(Listening { name: name.into(), line: Mutex::new(line) });
        match self.table.lock().entry(name.into()) {
            Entry::Vacant(entry) => entry.insert(Arc::clone(&listening)),
            Entry::Occupied(_) => {
                let cause = io::Error::from_raw_os_error(libc::EADDRINUSE);
                let at = Place::at(Step::Bind).to(Some(address)).because(cause);
                return Err(ConnectionError::BindFailed { at });
            }
        };
        tracing::debug!(name, backlog, "listening in memory");
        Ok(PipeListener { names: self.clone(), listening })
    }

    /// Connects to the listener on `name` by a pipe of the size that `config` gives.
    ///
    /// As with a socket, the connection stands once it is in the listener's backlog, accepted or
    /// not. A full backlog is waited for, in the order of the calls.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::ConnectionFailed`] with `ECONNREFUSED` if nobody listens on `name`, at the
    /// call or any more while it waits; nothing was sent, so a retry is safe.
    /// [`ConnectionError::InvalidConfig`] for a capacity out of range.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the place in line. A listener that had accepted in that very
    /// moment sees a connection that has ended.
    pub async fn connect(
        &self,
        name: &str,
        config: &PipeConfig,
    ) -> Result<PipeEnd, ConnectionError> {
        let (near, far) = pair(config)?;
        let listening = self.table.lock().get(name).map(Arc::clone);
        let Some(listening) = listening else { return Err(refused(name)) };
        let admitted = match listening.offer(far) {
            Offered::Admitted => true,
            Offered::Waiting(waiting) => waiting.admitted().await,
            Offered::Refused(_far) => false,
        };
        if admitted { Ok(near) } else { Err(refused(name)) }
    }

    /// Frees the name of `listening`.
    fn forget(&self, listening: &Arc<Listening>) {
        let mut table = self.table.lock();
        if table.get(&listening.name).is_some_and(|held| Arc::ptr_eq(held, listening)) {
            table.remove(&listening.name);
        }
    }
}

fn refused(name: &str) -> ConnectionError {
    let cause = io::Error::from_raw_os_error(libc::ECONNREFUSED);
    let destination = Some(Address::Mem(name.into()));
    ConnectionError::ConnectionFailed {
        at: Place::at(Step::Connect).to(destination).because(cause),
    }
}

/// What became of a client's offer.
enum Offered<'a> {
    Admitted,
    Waiting(Waiting<'a>),
    /// The listener is gone; the end comes back to be dropped outside of the lock.
    Refused(PipeEnd),
}

impl Listening {
    fn offer(&self, end: PipeEnd) -> Offered<'_> {
        let acceptor;
        {
            let mut line = self.line.lock();
            let Some(backlog) = &mut line.backlog else { return Offered::Refused(end) };
            if !backlog.has_room() {
                let (tell, admission) = oneshot::channel();
                let ticket = Some(backlog.push(Offer { end, admission: Some(tell) }));
                return Offered::Waiting(Waiting { listening: self, ticket, admission });
            }
            backlog.push(Offer { end, admission: None });
            acceptor = line.acceptor.take();
        }
        if let Some(acceptor) = acceptor {
            acceptor.wake();
        }
        Offered::Admitted
    }

    /// Takes an offer out of the line and tells the client that its leaving admits.
    fn take(&self, which: impl FnOnce(&mut Backlog<Offer>) -> Option<Offer>) -> Option<Offer> {
        let (taken, admitted);
        {
            let mut line = self.line.lock();
            let backlog = line.backlog.as_mut()?;
            taken = which(backlog);
            admitted = backlog.last_admitted().and_then(|offer| offer.admission.take());
        }
        if let Some(admitted) = admitted {
            // A client that has just given up takes its offer back by itself.
            let _ = admitted.send(());
        }
        taken
    }

    /// Lets `limit` connections stand before they are accepted, and tells those whom a higher one admits.
    fn set_limit(&self, limit: usize) {
        let admitted: Vec<_> = {
            let mut line = self.line.lock();
            let Some(backlog) = &mut line.backlog else { return };
            backlog.set_limit(limit);
            backlog.admitted().filter_map(|offer| offer.admission.take()).collect()
        };
        for admitted in admitted {
            // A client that has just given up takes its offer back by itself.
            let _ = admitted.send(());
        }
    }
}

impl Waiting<'_> {
    /// Whether a place was given, rather than the listener gone.
    async fn admitted(mut self) -> bool {
        let admitted = (&mut self.admission).await.is_ok();
        self.ticket = None;
        admitted
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            drop(self.listening.take(|backlog| backlog.withdraw(ticket)));
        }
    }
}

impl PipeListener {
    /// The name that is listened on.
    pub fn name(&self) -> &str {
        &self.listening.name
    }

    /// Takes the oldest connection in the backlog, if there is one.
    pub fn try_accept(&self) -> Option<PipeEnd> {
        self.listening.take(Backlog::pop).map(|offer| offer.end)
    }

    /// Takes the oldest connection in the backlog. Keeps the waker of the last call only.
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<PipeEnd> {
        loop {
            if let Some(end) = self.try_accept() {
                return Poll::Ready(end);
            }
            ready!(self.poll_offered(cx));
        }
    }

    /// Takes the oldest connection in the backlog, once there is one. For one task at a time.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves every connection in the backlog.
    pub async fn accept(&self) -> PipeEnd {
        future::poll_fn(|cx| self.poll_accept(cx)).await
    }

    fn poll_offered(&self, cx: &Context<'_>) -> Poll<()> {
        let attempt = |line: &mut Line| match &line.backlog {
            Some(backlog) if !backlog.is_empty() => Poll::Ready(()),
            Some(_) | None => Poll::Pending,
        };
        poll_locked(&self.listening.line, cx, attempt, |line| &mut line.acceptor)
    }
}

impl Accept for PipeListener {
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_offered(cx)
    }

    fn try_accept(&self) -> io::Result<Accepted> {
        match Self::try_accept(self) {
            Some(end) => Ok(Accepted {
                transport: Box::new(end),
                source: None,
                destination: None,
                permit: None,
                protocol: None,
            }),
            None => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn reconfigure(&self, config: &TcpConfig) {
        self.listening.set_limit(config.backlog as usize);
    }
}

impl Drop for PipeListener {
    fn drop(&mut self) {
        self.names.forget(&self.listening);
        let (backlog, acceptor);
        {
            let mut line = self.listening.line.lock();
            backlog = line.backlog.take();
            acceptor = line.acceptor.take();
        }
        drop(acceptor);
        tracing::debug!(name = self.name(), "no longer listening in memory");
        for offer in backlog.into_iter().flat_map(Backlog::into_offers) {
            offer.end.abort();
        }
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listeners = self.table.lock().len();
        f.debug_struct("Names").field("listeners", &listeners).finish()
    }
}

impl fmt::Debug for PipeListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PipeListener").field("name", &self.name()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::pipe::testing::{read, read_to_end, write_all};
    use std::{io::ErrorKind, pin::pin};

    fn is_refused(error: &ConnectionError) -> bool {
        matches!(error, ConnectionError::ConnectionFailed { .. })
            && error.os_code() == Some(libc::ECONNREFUSED)
            && error.is_safe_to_retry()
    }

    /// Polls once; what is not over after that waits for somebody else.
    async fn poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        future::poll_fn(|cx| match std::pin::Pin::new(&mut *future).poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => Poll::Ready(None),
        })
        .await
    }

    #[tokio::test]
    async fn an_unknown_name_refuses_and_may_be_tried_again() {
        let names = Names::new();
        let error = names.connect("app", &PipeConfig::default()).await.unwrap_err();
        assert!(is_refused(&error), "{error}");
        assert_eq!(error.to_string(), "connect to mem:app: connection failed");
    }

    #[tokio::test]
    async fn a_name_has_one_listener_and_is_free_when_it_is_gone() {
        let names = Names::new();
        let first = names.listen("app", 1).unwrap();
        let error = names.listen("app", 1).unwrap_err();
        assert!(matches!(error, ConnectionError::BindFailed { .. }), "{error}");
        assert_eq!(error.os_code(), Some(libc::EADDRINUSE));
        drop(first);
        names.listen("app", 1).unwrap();
    }

    #[tokio::test]
    async fn clones_share_their_names_and_other_tables_do_not() {
        let (one, other) = (Names::new(), Names::new());
        let clone_of_one = one.clone();
        let _listener = one.listen("app", 1).unwrap();
        assert!(clone_of_one.connect("app", &PipeConfig::default()).await.is_ok());
        assert!(other.connect("app", &PipeConfig::default()).await.is_err());
        other.listen("app", 1).unwrap();
    }

    #[test]
    fn what_is_no_name_and_no_backlog_is_refused() {
        let names = Names::new();
        for (name, backlog) in [("", 1), ("a b", 1), ("app", 0)] {
            let error = names.listen(name, backlog).unwrap_err();
            assert!(matches!(error, ConnectionError::InvalidConfig { .. }), "{error}");
        }
    }

    #[tokio::test]
    async fn a_connection_stands_before_it_is_accepted() {
        let names = Names::new();
        let listener = names.listen("app", 1).unwrap();
        let client = names.connect("app", &PipeConfig::default()).await.unwrap();
        write_all(&client, b"early").await.unwrap();
        let served = listener.accept().await;
        drop(client);
        assert_eq!(read_to_end(&served).await.unwrap(), b"early");
    }

    #[tokio::test]
    async fn a_full_backlog_is_waited_for_in_the_order_of_the_calls() {
        let names = Names::new();
        let listener = names.listen("app", 1).unwrap();
        let config = PipeConfig::default();
        let _first = names.connect("app", &config).await.unwrap();
        let mut second = pin!(names.connect("app", &config));
        let mut third = pin!(names.connect("app", &config));
        assert!(poll_once(&mut second).await.is_none());
        assert!(poll_once(&mut third).await.is_none());

        drop(listener.accept().await);
        assert!(poll_once(&mut third).await.is_none(), "the second is before it");
        let second = poll_once(&mut second).await.unwrap().unwrap();
        let served = listener.accept().await;
        write_all(&second, b"2").await.unwrap();
        assert_eq!(read(&served, &mut [0]).await.unwrap(), 1);
        assert!(poll_once(&mut third).await.unwrap().is_ok());
    }

    #[tokio::test]
    async fn a_larger_backlog_admits_those_who_wait_and_a_smaller_one_refuses_nobody() {
        let names = Names::new();
        let listener = names.listen("app", 1).unwrap();
        let (config, mut tcp) = (PipeConfig::default(), TcpConfig::default());
        let _first = names.connect("app", &config).await.unwrap();
        let mut second = pin!(names.connect("app", &config));
        let mut third = pin!(names.connect("app", &config));
        let mut fourth = pin!(names.connect("app", &config));
        for waiting in [&mut second, &mut third, &mut fourth] {
            assert!(poll_once(waiting).await.is_none());
        }
        tcp.backlog = 3;
        listener.reconfigure(&tcp);
        let _second = poll_once(&mut second).await.unwrap().unwrap();
        let _third = poll_once(&mut third).await.unwrap().unwrap();
        assert!(poll_once(&mut fourth).await.is_none());

        tcp.backlog = 1;
        listener.reconfigure(&tcp);
        for _ in 0..2 {
            listener.accept().await;
            assert!(poll_once(&mut fourth).await.is_none());
        }
        listener.accept().await;
        assert!(poll_once(&mut fourth).await.unwrap().is_ok());
    }

    #[tokio::test]
    async fn a_cancelled_connect_hands_its_place_on_and_is_never_accepted() {
        let names = Names::new();
        let listener = names.listen("app", 1).unwrap();
        let config = PipeConfig::default();
        let first = names.connect("app", &config).await.unwrap();
        let mut second = Box::pin(names.connect("app", &config));
        let mut third = Box::pin(names.connect("app", &config));
        let mut fourth = Box::pin(names.connect("app", &config));
        for waiting in [&mut second, &mut third, &mut fourth] {
            assert!(poll_once(waiting).await.is_none());
        }

        drop(second); // while it waits
        drop(listener.accept().await);
        drop(third); // admitted, but it does not know yet
        let fourth = poll_once(&mut fourth).await.unwrap().unwrap();
        write_all(&fourth, b"4").await.unwrap();
        let served = listener.accept().await;
        assert_eq!(read(&served, &mut [0]).await.unwrap(), 1);
        assert!(listener.try_accept().is_none());
        drop(first);
    }

    #[tokio::test]
    async fn closing_refuses_who_waits_resets_who_stands_and_leaves_the_accepted_alone() {
        let names = Names::new();
        let listener = names.listen("app", 1).unwrap();
        let config = PipeConfig::default();
        let accepted = names.connect("app", &config).await.unwrap();
        let served = listener.accept().await;
        let standing = names.connect("app", &config).await.unwrap();
        let mut waiting = pin!(names.connect("app", &config));
        assert!(poll_once(&mut waiting).await.is_none());

        drop(listener);
        assert!(is_refused(&poll_once(&mut waiting).await.unwrap().unwrap_err()));
        let reset = read(&standing, &mut [0]).await.unwrap_err();
        assert_eq!(reset.kind(), ErrorKind::ConnectionReset);
        write_all(&served, b"still here").await.unwrap();
        drop(served);
        assert_eq!(read_to_end(&accepted).await.unwrap(), b"still here");
    }

    #[tokio::test]
    async fn an_acceptor_that_waits_is_woken_by_a_connect() {
        let names = Names::new();
        let listener = names.listen("app", 1).unwrap();
        let config = PipeConfig::default();
        let (served, client) = tokio::join!(listener.accept(), names.connect("app", &config));
        drop(client.unwrap());
        assert!(read_to_end(&served).await.unwrap().is_empty());
    }

    async fn yields(times: u16) {
        for _ in 0..times {
            tokio::task::yield_now().await;
        }
    }

    /// Each client sends its number; those that gave up must not be among the accepted.
    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    #[expect(clippy::disallowed_methods, reason = "clients on several workers")]
    async fn every_client_that_connected_is_accepted_once_whoever_else_gives_up() {
        const CLIENTS: u16 = 600;
        let names = Names::new();
        let listener = names.listen("app", 3).unwrap();
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let names = names.clone();
                tokio::spawn(async move {
                    let config = PipeConfig::default();
                    let connect = names.connect("app", &config);
                    let end = if number % 3 == 0 {
                        tokio::select! {
                            biased;
                            end = connect => end.unwrap(),
                            () = yields(number % 5) => return None,
                        }
                    } else {
                        connect.await.unwrap()
                    };
                    write_all(&end, &number.to_be_bytes()).await.unwrap();
                    Some(number)
                })
            })
            .collect();
        let server = tokio::spawn(async move {
            let mut seen = Vec::new();
            loop {
                let sent = read_to_end(&listener.accept().await).await.unwrap();
                match <[u8; 2]>::try_from(&sent[..]) {
                    Ok(number) if u16::from_be_bytes(number) == CLIENTS => return seen,
                    Ok(number) => seen.push(u16::from_be_bytes(number)),
                    Err(_) => assert!(sent.is_empty(), "gave up as it was accepted"),
                }
            }
        });
        let mut connected = Vec::new();
        for client in clients {
            connected.extend(client.await.unwrap());
        }
        let last = names.connect("app", &PipeConfig::default()).await.unwrap();
        write_all(&last, &CLIENTS.to_be_bytes()).await.unwrap();
        drop(last);
        let mut seen = server.await.unwrap();
        seen.sort_unstable();
        assert_eq!(seen, connected);
    }
}
