//! Who asks, and what who asks may use. No I/O.

use crate::{
    budget::Budget,
    config::{ALL_CLUSTERS, HubConfig, UserConfig},
    secret::Secret,
    transport::TlsSession,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{
    HeaderMap, HeaderName,
    header::{AUTHORIZATION, PROXY_AUTHORIZATION},
};
use std::sync::Arc;

/// Everybody whom the configuration names.
#[derive(Debug)]
pub(in super::super) struct Users {
    all: Vec<Arc<User>>,
    anonymous: Vec<String>,
}

/// One of them.
#[derive(Debug)]
pub(in super::super) struct User {
    pub(in super::super) name: Box<str>,
    config: UserConfig,
    /// Requests under way.
    pub(in super::super) requests: Budget,
}

/// Who has proved to ask, and by which field of the request where it was one.
#[derive(Clone, Debug)]
pub(in super::super) struct Proved {
    pub(in super::super) user: Arc<User>,
    pub(in super::super) by: Option<HeaderName>,
}

impl Users {
    pub(in super::super) fn new(config: &HubConfig) -> Self {
        let all = config.users.iter().map(|(name, config)| {
            let requests = Budget::new(u64::from(config.max_requests));
            Arc::new(User { name: name.as_str().into(), config: config.clone(), requests })
        });
        Self { all: all.collect(), anonymous: config.anonymous.clone() }
    }

    /// Whose certificate this is.
    pub(in super::super) fn by_certificate(&self, session: &TlsSession) -> Option<Proved> {
        let is_its = |user: &&Arc<User>| {
            user.config.certificates.iter().any(|name| session.is_peer_named(name))
        };
        let user = self.all.iter().find(is_its)?;
        Some(Proved { user: Arc::clone(user), by: None })
    }

    /// Whose token is in the request. `Proxy-Authorization` is for a hub alone, `Authorization` may be for the service.
    pub(in super::super) fn by_token(&self, fields: &HeaderMap) -> Option<Proved> {
        [PROXY_AUTHORIZATION, AUTHORIZATION].into_iter().find_map(|by| {
            let mut all = fields.get_all(&by).iter();
            let (value, None) = (all.next()?, all.next()) else { return None };
            let user = self.of_credentials(value.to_str().ok()?)?;
            Some(Proved { user, by: Some(by) })
        })
    }

    /// Whose name and token these are.
    pub(in super::super) fn by_name_and_token(&self, name: &[u8], token: &[u8]) -> Option<Proved> {
        Some(Proved { user: self.of_token(Some(name), token)?, by: None })
    }

    fn of_credentials(&self, text: &str) -> Option<Arc<User>> {
        let (scheme, rest) = text.split_once(' ')?;
        if scheme.eq_ignore_ascii_case("bearer") {
            return self.of_token(None, rest.trim().as_bytes());
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let decoded = zeroize::Zeroizing::new(STANDARD.decode(rest.trim()).ok()?);
        let colon = decoded.iter().position(|&byte| byte == b':')?;
        self.of_token(Some(&decoded[..colon]), &decoded[colon + 1..])
    }

    /// Every token of everybody is looked at, so that time does not tell which was closest.
    fn of_token(&self, name: Option<&[u8]>, given: &[u8]) -> Option<Arc<User>> {
        let has = |tokens: &[Secret]| tokens.iter().fold(false, |any, token| any | token.is(given));
        let known = self.all.iter().fold(None, |found, user| {
            let is_its = has(&user.config.tokens);
            if is_its { Some(user) } else { found }
        });
        known.filter(|user| name.is_none_or(|name| name == user.name.as_bytes())).cloned()
    }

    /// Whether nobody has to say who it is to use the cluster.
    pub(in super::super) fn is_anonymous(&self, cluster: &str) -> bool {
        is_listed(&self.anonymous, cluster)
    }
}

impl User {
    pub(in super::super) fn may_use(&self, cluster: &str) -> bool {
        is_listed(&self.config.clusters, cluster)
    }
}

fn is_listed(clusters: &[String], cluster: &str) -> bool {
    clusters.iter().any(|name| name == ALL_CLUSTERS || name == cluster)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use http::HeaderValue;

    const ALICE: &str = "the token of alice, long";
    const BOB: &str = "the token of bob, long enough";

    fn users() -> Users {
        let json = format!(
            r#"{{"users": {{"alice": {{"tokens": ["{ALICE}"], "clusters": ["c1"]}},
                            "bob": {{"tokens": ["another, long enough", "{BOB}"], "clusters": ["*"]}}}},
                "anonymous": ["open"]}}"#
        );
        Users::new(&HubConfig::from_json(&json).unwrap())
    }

    fn proved(name: &'static str, value: &str) -> Option<String> {
        let mut fields = HeaderMap::new();
        fields.insert(name, HeaderValue::from_str(value).unwrap());
        users().by_token(&fields).map(|proved| proved.user.name.to_string())
    }

    fn basic(text: &str) -> String {
        format!("Basic {}", STANDARD.encode(text))
    }

    #[test]
    fn a_token_proves_who_it_was_given_to_and_no_other() {
        assert_eq!(proved("authorization", &format!("Bearer {ALICE}")).as_deref(), Some("alice"));
        assert_eq!(proved("authorization", &format!("bearer  {BOB}")).as_deref(), Some("bob"));
        assert_eq!(
            proved("proxy-authorization", &basic(&format!("bob:{BOB}"))).as_deref(),
            Some("bob")
        );
        for value in [
            format!("Bearer {}", &ALICE[1..]),
            "Bearer ".into(),
            format!("Digest {ALICE}"),
            ALICE.into(),
            basic(&format!("alice:{BOB}")),
            basic("alice:"),
            basic(ALICE),
            "Basic !!!".into(),
        ] {
            assert_eq!(proved("authorization", &value), None, "{value}");
        }
    }

    #[test]
    fn a_field_that_is_there_twice_proves_nothing() {
        let mut fields = HeaderMap::new();
        for token in [ALICE, BOB] {
            let value = HeaderValue::try_from(format!("Bearer {token}")).unwrap();
            fields.append(AUTHORIZATION, value);
        }
        assert!(users().by_token(&fields).is_none());
    }

    #[test]
    fn who_may_use_what_is_what_the_configuration_lists() {
        let users = users();
        let [alice, bob] = &users.all[..] else { panic!() };
        assert!(alice.may_use("c1") && !alice.may_use("c2") && !alice.may_use("*"));
        assert!(bob.may_use("c2"));
        assert!(users.is_anonymous("open") && !users.is_anonymous("c1"));
    }
}
