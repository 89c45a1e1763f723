//! What happens to every request before and after its handler.

use std::time::Instant;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use crate::context::Origin;
use crate::{Caller, Context, Problem, bearer, cors};

/// What a refused credential costs beside the request itself: guessing ends after a few dozen.
const GUESS_COST: u32 = 10;

/// Puts the guard around all routes of a door: Host and Origin checks of an open server, rate
/// limits of one that is not, the deadline, CORS, and problems in place of bare errors.
pub fn protect(router: Router, context: &Context) -> Router {
    router.layer(from_fn_with_state(context.clone(), guard))
}

async fn guard(State(context): State<Context>, request: Request, next: Next) -> Response {
    let caller = Caller::of(
        &context,
        request.uri(),
        request.headers(),
        request.extensions(),
    );
    let credentials = bearer(request.headers());
    let shown = credentials.secret().is_some();
    let admitted = admit(&context, &caller, request.method(), request.headers());
    let mut response = match admitted {
        Err(problem) => problem.into_response(),
        Ok(()) => match tokio::time::timeout(context.deadline(), next.run(request)).await {
            Ok(response) => response,
            Err(_) => Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "the server did not get to this request in time",
            )
            .retry_after(std::time::Duration::from_secs(1))
            .into_response(),
        },
    };
    if response.status() == StatusCode::METHOD_NOT_ALLOWED {
        response = explain_method(&response);
    }
    let headers = response.headers_mut();
    cors::share(headers);
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    );
    if response.status() == StatusCode::UNAUTHORIZED {
        let challenge = if shown {
            "Bearer realm=\"inver\", error=\"invalid_token\""
        } else {
            "Bearer realm=\"inver\""
        };
        response.headers_mut().insert(
            header::WWW_AUTHENTICATE,
            HeaderValue::from_static(challenge),
        );
        if shown && !context.is_open() {
            // The answer is given; what it cost is felt by the next request.
            let _ = context
                .limiter()
                .take(caller.address(), None, GUESS_COST, Instant::now());
        }
    }
    response
}

/// Checks what can be told from the headers alone.
fn admit(
    context: &Context,
    caller: &Caller,
    method: &Method,
    headers: &HeaderMap,
) -> Result<(), Problem> {
    if context.is_open() {
        return admit_open(context, caller, method, headers);
    }
    let changes = matches!(
        *method,
        Method::POST | Method::PATCH | Method::PUT | Method::DELETE
    );
    if !changes {
        return Ok(());
    }
    let credentials = bearer(headers);
    let token = credentials.secret().map(|secret| secret.reveal());
    context
        .limiter()
        .take(caller.address(), token, 1, Instant::now())
        .map_err(|wait| {
            Problem::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too many requests from this address or with this token",
            )
            .retry_after(wait)
        })
}

/// On an open server nothing but these checks stands between it and any page in the browser of
/// somebody on the same machine.
fn admit_open(
    context: &Context,
    caller: &Caller,
    method: &Method,
    headers: &HeaderMap,
) -> Result<(), Problem> {
    let Some(reached) = caller.authority() else {
        return Err(Problem::bad_request(
            "the Host header is missing or no host name",
        ));
    };
    if !context.allows_host(reached) {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            format!(
                "the server is open to everybody who can reach it, so it answers only to \
                 addresses, to localhost and to configured names, not to {:?}; set public_url or \
                 allowed_hosts to use this name",
                reached.as_str()
            ),
        )
        .kind("urn:inver:problem:host"));
    }
    // A preflight request changes nothing, and the request after it is refused readably.
    let Some(origin) = headers.get(header::ORIGIN) else {
        return Ok(());
    };
    let text = origin.to_str().unwrap_or("null");
    let allowed = Origin::parse(text).is_some_and(|origin| context.allows_origin(&origin, reached));
    if allowed || *method == Method::OPTIONS {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::FORBIDDEN,
        format!(
            "the server is open to everybody who can reach it, so pages of other origins may not \
             use it; add {text:?} to allowed_origins to let it"
        ),
    )
    .kind("urn:inver:problem:origin"))
}

/// A 405 with words in place of an empty one; keeps `Allow`.
fn explain_method(bare: &Response) -> Response {
    let allow = bare.headers().get(header::ALLOW).cloned();
    let methods = allow
        .as_ref()
        .and_then(|allow| allow.to_str().ok())
        .unwrap_or("none");
    let detail = format!("this URL allows other methods only: {methods}");
    let mut response = Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail).into_response();
    if let Some(allow) = allow {
        response.headers_mut().insert(header::ALLOW, allow);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use axum::body::Body;
    use axum::routing::get;
    use tower::ServiceExt;

    #[tokio::test(start_paused = true)]
    async fn a_handler_that_hangs_is_answered_for() {
        let context = Context::new(Config::default()).expect("a good configuration");
        let router = Router::new().route("/", get(std::future::pending::<()>));
        let request = Request::builder().uri("/").body(Body::empty());
        let response = protect(router, &context)
            .oneshot(request.expect("a request"))
            .await
            .expect("a router always answers");
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
        assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
    }

    #[tokio::test]
    async fn an_open_server_needs_a_host() {
        let context = Context::new(Config {
            open: true,
            ..Config::default()
        })
        .expect("a good configuration");
        let router = protect(Router::new().route("/", get(|| async {})), &context);
        for (host, status) in [(None, 400), (Some("a@b"), 400), (Some("[::1]:8080"), 200)] {
            let mut request = Request::builder().uri("/");
            if let Some(host) = host {
                request = request.header(header::HOST, host);
            }
            let request = request.body(Body::empty()).expect("a request");
            let response = router.clone().oneshot(request).await;
            let response = response.expect("a router always answers");
            assert_eq!(response.status(), status, "{host:?}");
        }
    }
}
