//! Pages, their parts and the SDK, embedded in the program; debug builds read them from disk.
//!
//! File names carry no hash, so every file is checked against its entity tag at each use, which
//! costs a round trip of some hundred bytes and never shows an old page.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{Html, IntoResponse as _, Response};
use axum::routing::get;
use inver_proto::RoomId;
use rust_embed::{Embed, EmbeddedFile};
use tower_http::compression::CompressionLayer;

/// What web browsers load.
#[derive(Embed)]
#[folder = "$CARGO_MANIFEST_DIR/../../web"]
#[include = "pages/*.html"]
#[include = "assets/*"]
#[include = "sdk/*"]
#[exclude = "*/node_modules/*"]
#[exclude = "*/tests/*"]
#[exclude = "*/package.json"]
#[exclude = "*/tsconfig*.json"]
struct Files;

/// Page of each route.
const PAGES: &[(&str, &str)] = &[
    ("/", "pages/home.html"),
    ("/publish/{room}", "pages/publish.html"),
    ("/watch/{room}", "pages/watch.html"),
    ("/admin", "pages/admin.html"),
    ("/recordings", "pages/recordings.html"),
    ("/docs", "pages/docs.html"),
];

/// Scripts and styles come from this server only and none is inline. Media and previews are blobs;
/// a page may talk to other servers, since people watch from one server on the page of another.
const POLICY: &str = "default-src 'self'; script-src 'self'; style-src 'self'; \
     img-src 'self' data: blob:; media-src 'self' blob:; connect-src 'self' https: wss: http: ws:; \
     worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'";

/// Routes of everything that is not a door. `prefix` is the base path that pages are reached under,
/// without a slash at its end.
pub fn router(prefix: &str) -> Router {
    let prefix: Arc<str> = prefix.into();
    let mut pages = Router::new();
    for (route, file) in PAGES {
        // Only the watch page may stand inside other sites: the others act with people's rights.
        let embeddable = *file == "pages/watch.html";
        let handler = if route.contains("{room}") {
            let prefix = Arc::clone(&prefix);
            get(async move |Path(room): Path<String>, headers: HeaderMap| {
                if room.parse::<RoomId>().is_err() {
                    return not_found(&headers, &prefix);
                }
                page(file, embeddable, &headers)
            })
        } else {
            get(async move |headers: HeaderMap| page(file, embeddable, &headers))
        };
        pages = pages.route(route, handler);
    }
    let files = Router::new()
        .route("/assets/{*path}", get(asset))
        .route("/sdk/v1/{*path}", get(sdk))
        .route(
            "/favicon.ico",
            get(async |headers: HeaderMap| serve("assets/favicon.svg", &headers)),
        );
    pages
        .merge(files)
        .layer(CompressionLayer::new().br(true).gzip(true))
        .fallback(async move |headers: HeaderMap| not_found(&headers, &prefix))
}

fn page(file: &str, embeddable: bool, headers: &HeaderMap) -> Response {
    let mut response = serve(file, headers);
    let ancestors = if embeddable { "*" } else { "'none'" };
    let policy = format!("{POLICY}; frame-ancestors {ancestors}");
    set(&mut response, header::CONTENT_SECURITY_POLICY, &policy);
    if !embeddable {
        set(&mut response, header::X_FRAME_OPTIONS, "DENY");
    }
    response
}

async fn asset(Path(path): Path<String>, headers: HeaderMap) -> Response {
    serve(&format!("assets/{path}"), &headers)
}

async fn sdk(Path(path): Path<String>, headers: HeaderMap) -> Response {
    let mut response = serve(&format!("sdk/{path}"), &headers);
    set(&mut response, header::ACCESS_CONTROL_ALLOW_ORIGIN, "*");
    set(
        &mut response,
        HeaderName::from_static("cross-origin-resource-policy"),
        "cross-origin",
    );
    response
}

/// A page for people, a line for programs.
fn not_found(headers: &HeaderMap, prefix: &str) -> Response {
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok());
    if !accept.is_some_and(|accept| accept.contains("text/html")) {
        let body = "There is nothing at this address. The pages begin at /.\n";
        return (StatusCode::NOT_FOUND, body).into_response();
    }
    // Shown at any depth, the page has absolute links; its length and tag are its own then.
    let Some(file) = Files::get("pages/error.html") else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let links = format!("=\"{prefix}/");
    let text = String::from_utf8_lossy(&file.data).replace("=\"/", &links);
    let mut response = (StatusCode::NOT_FOUND, Html(text)).into_response();
    set(
        &mut response,
        header::CONTENT_SECURITY_POLICY,
        &format!("{POLICY}; frame-ancestors 'none'"),
    );
    response
}

/// A file, or 304 where the client has it already.
fn serve(path: &str, headers: &HeaderMap) -> Response {
    // Debug builds read from disk, where `..` would lead into folders that are not for the web.
    let leaves = path
        .split(['/', '\\'])
        .any(|segment| matches!(segment, "" | "." | ".."));
    let Some(file) = Files::get(path).filter(|_| !leaves) else {
        return (StatusCode::NOT_FOUND, "There is no such file.\n").into_response();
    };
    let tag = entity_tag(&file);
    let known = headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|known| matches!(known.trim(), known if known == tag || known == "*"));
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let kind = mime_guess::from_path(path).first_or_octet_stream();
        let mut response = file.data.into_response();
        let kind = if kind.type_() == mime_guess::mime::TEXT {
            format!("{kind}; charset=utf-8")
        } else {
            kind.to_string()
        };
        set(&mut response, header::CONTENT_TYPE, &kind);
        response
    };
    set(&mut response, header::ETAG, &tag);
    set(&mut response, header::CACHE_CONTROL, "no-cache");
    response
}

/// Weak, since the same file is sent in several compressions (RFC 9110, 8.8.1).
fn entity_tag(file: &EmbeddedFile) -> String {
    use std::fmt::Write as _;
    let mut tag = "W/\"".to_owned();
    for byte in &file.metadata.sha256_hash()[..16] {
        // Writing to a String cannot fail.
        let _ = write!(tag, "{byte:02x}");
    }
    tag.push('"');
    tag
}

fn set(response: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// Headers of every response, whatever made it; those that a handler set stay.
pub fn secure(router: Router) -> Router {
    router.layer(from_fn(async |request: Request, next: Next| {
        let mut response = next.run(request).await;
        for (name, value) in [
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::REFERRER_POLICY, "no-referrer"),
            (
                HeaderName::from_static("permissions-policy"),
                "camera=(self), microphone=(self), display-capture=(self), geolocation=(), usb=()",
            ),
        ] {
            response
                .headers_mut()
                .entry(name)
                .or_insert(HeaderValue::from_static(value));
        }
        response
    }))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use tower::ServiceExt as _;

    use super::*;

    async fn get(path: &str, headers: &[(HeaderName, &str)]) -> Response {
        let mut request = Request::builder().uri(path);
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        let request = request.body(Body::empty()).expect("a valid request");
        let Ok(response) = secure(router("")).oneshot(request).await;
        response
    }

    fn header_of<'a>(response: &'a Response, name: &HeaderName) -> &'a str {
        response
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or("")
    }

    #[tokio::test]
    async fn every_page_exists_and_only_watch_may_be_embedded() {
        for (route, _) in PAGES {
            let path = route.replace("{room}", "studio");
            let response = get(&path, &[]).await;
            assert_eq!(response.status(), StatusCode::OK, "{path}");
            assert_eq!(
                header_of(&response, &header::CONTENT_TYPE),
                "text/html; charset=utf-8"
            );
            let policy = header_of(&response, &header::CONTENT_SECURITY_POLICY);
            let open = policy.contains("frame-ancestors *");
            assert_eq!(open, path.starts_with("/watch"), "{path}: {policy}");
            assert_eq!(
                header_of(&response, &header::X_CONTENT_TYPE_OPTIONS),
                "nosniff"
            );
            assert_eq!(
                header_of(&response, &header::REFERRER_POLICY),
                "no-referrer"
            );
        }
    }

    #[tokio::test]
    async fn a_known_entity_tag_saves_the_body() {
        let first = get("/sdk/v1/index.js", &[]).await;
        assert_eq!(first.status(), StatusCode::OK);
        assert_eq!(header_of(&first, &header::ACCESS_CONTROL_ALLOW_ORIGIN), "*");
        let tag = header_of(&first, &header::ETAG).to_owned();
        let list = format!("\"other\", {tag}");
        let second = get("/sdk/v1/index.js", &[(header::IF_NONE_MATCH, &list)]).await;
        assert_eq!(second.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(header_of(&second, &header::ETAG), tag);
        let changed = get("/sdk/v1/index.js", &[(header::IF_NONE_MATCH, "W/\"0\"")]).await;
        assert_eq!(changed.status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn text_is_compressed_for_those_who_ask() {
        let response = get("/sdk/v1/index.js", &[(header::ACCEPT_ENCODING, "gzip, br")]).await;
        assert_eq!(header_of(&response, &header::CONTENT_ENCODING), "br");
        let response = get("/sdk/v1/index.js", &[]).await;
        assert_eq!(header_of(&response, &header::CONTENT_ENCODING), "");
    }

    #[tokio::test]
    async fn the_code_of_others_comes_with_its_licence() {
        let script = get("/sdk/v1/vendor/hls.min.mjs", &[]).await;
        assert_eq!(script.status(), StatusCode::OK);
        // Browsers run modules of this type only.
        let kind = header_of(&script, &header::CONTENT_TYPE);
        assert!(kind.contains("/javascript"), "{kind}");
        let licence = get("/sdk/v1/vendor/hls.LICENSE.txt", &[]).await;
        assert_eq!(licence.status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn people_get_a_page_where_nothing_is() {
        for path in ["/nothing", "/watch/no%20room"] {
            let response = get(path, &[(header::ACCEPT, "text/html,*/*;q=0.8")]).await;
            assert_eq!(response.status(), StatusCode::NOT_FOUND);
            let kind = header_of(&response, &header::CONTENT_TYPE);
            assert_eq!(kind, "text/html; charset=utf-8");
            assert!(!header_of(&response, &header::CONTENT_SECURITY_POLICY).is_empty());
        }
    }

    #[tokio::test]
    async fn nothing_else_of_the_folder_is_served() {
        for path in [
            "/assets/../pages/home.html",
            "/sdk/v1/../../package.json",
            "/sdk/v1/package.json",
            "/assets/%2e%2e/%2e%2e/Cargo.toml",
            "/sdk/v1/nothing.js",
            "/sdk/v1//etc/passwd",
            "/nothing",
            "/watch/no%20room",
        ] {
            assert_eq!(
                get(path, &[]).await.status(),
                StatusCode::NOT_FOUND,
                "{path}"
            );
        }
    }
}
