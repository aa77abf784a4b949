//! A caller gives up at each of its polls, and in each state of the pool: nothing of it is left, and nobody is stranded.

use super::*;
use std::{future::poll_fn, pin::Pin, task::Poll};

/// When a caller gives up.
#[derive(Clone, Copy, Debug)]
enum GivesUp {
    /// After so many polls, each of which told it to wait.
    Polled(usize),
    /// When it is woken after so many polls, before it looks for what it was given.
    Woken(usize),
}

impl GivesUp {
    async fn on<F: Future>(self, future: F) -> Option<F::Output> {
        let mut future = Box::pin(future);
        let mut polls = 0;
        poll_fn(move |cx| {
            if matches!(self, Self::Woken(limit) if polls == limit) {
                return Poll::Ready(None);
            }
            polls += 1;
            match Pin::as_mut(&mut future).poll(cx) {
                Poll::Ready(output) => Poll::Ready(Some(output)),
                Poll::Pending if matches!(self, Self::Polled(limit) if polls == limit) => {
                    Poll::Ready(None)
                }
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    fn all() -> impl Iterator<Item = Self> {
        (1..6).flat_map(|polls| [Self::Polled(polls), Self::Woken(polls)])
    }
}

/// What the pool is doing when the caller comes.
#[derive(Clone, Copy, Debug)]
enum Scene {
    Empty,
    Idle,
    Lent,
    Connecting,
    Failing,
    Checking,
    Unsound,
    Resetting,
    Cleared,
    Shrunk,
}

const SCENES: [Scene; 10] = [
    Scene::Empty,
    Scene::Idle,
    Scene::Lent,
    Scene::Connecting,
    Scene::Failing,
    Scene::Checking,
    Scene::Unsound,
    Scene::Resetting,
    Scene::Cleared,
    Scene::Shrunk,
];

async fn set(scene: Scene) -> (Pool, Maker) {
    let abilities = match scene {
        Scene::Checking | Scene::Unsound => Abilities { checks: true, ..Abilities::default() },
        Scene::Resetting => Abilities { resets: true, ..Abilities::default() },
        _ => Abilities::default(),
    };
    let max_size = if matches!(scene, Scene::Shrunk) { 2 } else { 1 };
    let (pool, maker) = pool_of(config(max_size), Maker::with(abilities));
    if !matches!(scene, Scene::Empty | Scene::Connecting | Scene::Failing) {
        drop(pool.acquire().await.unwrap());
        settle().await;
    }
    match scene {
        Scene::Failing => maker.plan(Plan::Fail),
        Scene::Unsound => maker.log(|log| log.invalid.push(1)),
        _ => {}
    }
    if matches!(scene, Scene::Checking | Scene::Unsound) {
        sleep(Duration::from_secs(1)).await;
    }
    (pool, maker)
}

/// One caller comes in this scene and gives up; then another comes, and is served.
async fn play(scene: Scene, gives_up: GivesUp) {
    let (pool, maker) = set(scene).await;
    let held = match scene {
        Scene::Lent | Scene::Resetting | Scene::Cleared | Scene::Shrunk => {
            Some(pool.acquire().await.unwrap())
        }
        _ => None,
    };
    let also_held = match scene {
        Scene::Shrunk => Some(pool.acquire().await.unwrap()),
        _ => None,
    };
    let go = matches!(scene, Scene::Connecting).then(|| maker.hold());
    let impatient = gives_up.on(pool.acquire_by(soon()));
    let meanwhile = async {
        settle().await;
        if matches!(scene, Scene::Shrunk) {
            pool.resize(1, 0).unwrap();
        }
        drop((held, also_held));
        if matches!(scene, Scene::Cleared) {
            pool.clear();
        }
        if let Some(go) = go {
            go.send(()).unwrap();
        }
    };
    let (served, ()) = tokio::join!(impatient, meanwhile);
    if let Some(result) = served {
        drop(result.unwrap());
    }
    let next = pool.acquire_by(soon()).await;
    assert!(next.is_ok(), "{scene:?}, {gives_up:?}: the next caller got {next:?}");
    settle().await;
    check_books(&pool);
    drop(next);
    pool.close(None).await;
    let stats = pool.stats();
    assert_eq!((stats.total(), stats.waiting), (0, 0), "{scene:?}, {gives_up:?}");
    let mut closed: Vec<_> = maker.closed().into_iter().map(|(number, _)| number).collect();
    closed.sort_unstable();
    assert!(closed.into_iter().eq(1..=maker.made() as u32), "{scene:?}, {gives_up:?}");
}

#[tokio::test(start_paused = true)]
async fn an_acquire_dropped_at_any_poll_leaves_nothing_behind() {
    for scene in SCENES {
        for gives_up in GivesUp::all() {
            play(scene, gives_up).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_for_the_pool_dropped_at_any_poll_leaves_it_to_do_what_it_does() {
    for gives_up in GivesUp::all() {
        let (pool, maker) =
            pool_of(CheckoutPoolConfig { min_idle: 2, ..config(2) }, Maker::default());
        let go = maker.hold();
        let open = async {
            settle().await;
            go.send(()).unwrap();
        };
        _ = tokio::join!(gives_up.on(pool.wait_ready(soon())), open);
        assert!(pool.wait_ready(soon()).await, "{gives_up:?}");
        let held = pool.acquire().await.unwrap();
        let put_back = async {
            settle().await;
            drop(held);
        };
        _ = tokio::join!(gives_up.on(pool.drain(None)), put_back);
        assert!(pool.is_closed(), "{gives_up:?}: it goes on to drain");
        _ = gives_up.on(pool.close(None)).await;
        assert_eq!(pool.close(None).await, 0, "{gives_up:?}");
        assert_eq!(maker.closed().len(), maker.made());
    }
}
