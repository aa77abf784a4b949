//! Addresses that a file names, and that change under a channel.

use super::{ConnectivityState::TransientFailure, *};
use std::{fs, path::PathBuf, process};

/// A file of its own, gone with the test.
struct List(PathBuf);

impl List {
    fn new(name: &str, text: &str) -> Self {
        let list = Self(std::env::temp_dir().join(format!("trunkline-{}-{name}", process::id())));
        list.say(text);
        list
    }

    /// Another file takes its place, as a whole.
    fn say(&self, text: &str) {
        let other = self.0.with_extension("new");
        fs::write(&other, text).unwrap();
        fs::rename(&other, &self.0).unwrap();
    }

    fn target(&self) -> String {
        format!("file:{}", self.0.display())
    }
}

impl Drop for List {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn named(name: &'static str) -> Methods {
    Methods::new().unary(ECHO, move |_| async move { Ok(tonic::Response::new(message(name))) })
}

async fn who(channel: &Channel) -> Bytes {
    channel.unary(ECHO, Bytes::new(), within(60 * SECOND)).await.unwrap().message
}

async fn answers(channel: &Channel, name: &str) {
    while who(channel).await != name {
        tokio::time::sleep(100 * MILLI).await;
    }
}

#[tokio::test(start_paused = true)]
async fn calls_follow_the_addresses_in_a_file_and_not_one_fails() {
    let network = network();
    let (_a, _b) =
        (serve(&network, "mem:a", named("a")).await, serve(&network, "mem:b", named("b")).await);
    let list = List::new("follow", "mem:a # for now\n");
    let channel = channel(&network, &list.target(), plain());
    assert_eq!(who(&channel).await, "a");
    list.say("mem:b\n");
    answers(&channel, "b").await;
    let live = channel.inspect();
    assert_eq!(live.addresses.last().unwrap().address.to_string(), "mem:b");
    while channel.inspect().pool.closed(RetireReason::Unlisted) != 1 {
        tokio::time::sleep(MILLI).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_bad_file_changes_nothing_and_says_why_until_a_good_one() {
    let network = network();
    let (_a, _b) =
        (serve(&network, "mem:a", named("a")).await, serve(&network, "mem:b", named("b")).await);
    let list = List::new("bad", "mem:a\n");
    let channel = channel(&network, &list.target(), plain());
    assert_eq!(who(&channel).await, "a");
    for (text, reason) in [("mem:a\nnonsense\n", "line 2"), ("", "there is no address")] {
        list.say(text);
        let why = || channel.inspect().lookup_error.map(|why| why.with_causes().to_string());
        while !why().is_some_and(|why| why.contains(reason) && why.contains("trunkline-")) {
            tokio::time::sleep(100 * MILLI).await;
        }
        assert_eq!(who(&channel).await, "a");
    }
    list.say("mem:b\n");
    answers(&channel, "b").await;
    assert!(channel.inspect().lookup_error.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_not_there_fails_the_channel_until_it_is() {
    let network = network();
    let _a = serve(&network, "mem:a", named("a")).await;
    let list = List::new("late", "mem:a\n");
    fs::remove_file(&list.0).unwrap();
    let channel = channel(&network, &list.target(), plain());
    channel.connect();
    reaches(&channel, TransientFailure).await;
    let error = channel.unary(ECHO, Bytes::new(), within(SECOND)).await.unwrap_err();
    assert!(error.to_string().contains("No such file"), "{error}");
    let error = channel.wait_ready(after(SECOND)).await.unwrap_err();
    assert!(error.with_causes().to_string().contains("No such file"), "{error:?}");
    list.say("mem:a\n");
    channel.wait_ready(after(10 * SECOND)).await.unwrap();
    assert_eq!(who(&channel).await, "a");
}
