//! One test on each store: SQLite, and a Redis server of its own.

use super::gate::Settings;
use super::redis::{DURABLE, Server};

/// Makes a module of the name of a test function, with one test for each store; with cases, one for each case and store.
/// The function takes the settings that lead to the store, and the case.
macro_rules! on_each_store {
    ($test:ident) => {
        mod $test {
            #[tokio::test(flavor = "multi_thread")]
            async fn sqlite() {
                super::$test(&[]).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn redis() {
                $crate::support::stores::on_redis(super::$test).await;
            }
        }
    };
    ($test:ident: $($case:ident = $value:expr;)+) => {
        mod $test {
            use super::*;

            $(mod $case {
                use super::*;

                #[tokio::test(flavor = "multi_thread")]
                async fn sqlite() {
                    $test(&[], $value).await;
                }

                #[tokio::test(flavor = "multi_thread")]
                async fn redis() {
                    $crate::support::stores::on_redis(async |store| $test(store, $value).await).await;
                }
            })+
        }
    };
}
pub(crate) use on_each_store;

/// Runs a test on a Redis server of its own, with a password.
pub(crate) async fn on_redis(test: impl AsyncFnOnce(Settings<'_>)) {
    let server = Server::start(&[DURABLE, &["--requirepass", "p@ss"]].concat());
    test(&[("store.url", &format!("redis://:p%40ss@{}", server.address()))]).await;
}
