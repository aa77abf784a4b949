//! Another protocol in place of HTTP: bytes both ways, without a limit but that of silence.

use super::{
    body::Reply,
    checked::Checked,
    fault::{Broken, with_causes},
    head,
    site::Site,
};
use crate::{budget::Permit, context::CloseReason, relay::Relay, transport::Stream};
use http::{Response, header::UPGRADE};
use hyper::{body::Incoming, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;
use std::sync::Arc;

/// The service has agreed to speak another protocol from here on. `held` is kept for as long as it does.
pub(in crate::tunnel) fn switch<S: Site>(
    site: &Arc<S>,
    mut response: Response<Incoming>,
    ours: Option<OnUpgrade>,
    held: Option<Permit>,
) -> Result<Response<Reply>, Broken> {
    let agreed = response.headers().get(UPGRADE).cloned();
    let (Some(ours), Some(agreed)) = (ours, agreed) else { return Err(Broken::unclear()) };
    let theirs = hyper::upgrade::on(&mut response);
    head::to_user(response.headers_mut(), Some(&agreed)).map_err(|()| Broken::unclear())?;
    let carried = carry(Arc::clone(site), ours, theirs, held);
    site.fronts().spawn_on(carried, site.runtime());
    let (head, _) = response.into_parts();
    let mut switched = Response::new(Reply::empty());
    (*switched.status_mut(), *switched.headers_mut()) = (head.status, head.headers);
    Ok(switched)
}

async fn carry<S: Site>(site: Arc<S>, ours: OnUpgrade, theirs: OnUpgrade, held: Option<Permit>) {
    let both = tokio::select! {
        biased;
        _ = site.cut().ordered() => return,
        both = async { tokio::try_join!(ours, theirs) } => both,
    };
    let (ours, theirs) = match both {
        Ok(both) => both,
        Err(error) => return tracing::debug!(why = with_causes(&error), "an upgrade broke"),
    };
    let (Ok(ours), Ok(theirs)) =
        (ours.downcast::<TokioIo<Checked>>(), theirs.downcast::<TokioIo<Stream>>())
    else {
        return;
    };
    let (client, early) = ours.io.into_inner().into_parts();
    let (server, answer) = (theirs.io.into_inner(), theirs.read_buf);
    let client = Client(client);
    let first = async {
        server.write_all(&ours.read_buf).await?;
        server.write_all(&early).await?;
        client.0.write_all(&answer).await
    };
    let is_begun = tokio::select! {
        biased;
        reason = site.cut().ordered() => return client.0.close_because(reason),
        first = first => first.is_ok(),
    };
    if !is_begun {
        return;
    }
    let mut relay = Relay::new(&client.0, &server, &site.relay_limits());
    let outcome = tokio::select! {
        biased;
        reason = site.cut().ordered() => relay.cut(reason),
        outcome = relay.run() => outcome,
    };
    drop(held);
    tracing::trace!(?outcome, "upgraded connection over");
}

/// The stream of a client whose task may be dropped with the runtime before it has said why it ends.
struct Client(Stream);

impl Drop for Client {
    fn drop(&mut self) {
        self.0.close_because(CloseReason::Cancelled);
    }
}
