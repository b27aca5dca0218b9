//! What holds for every route: methods, slashes, bodies, credentials.

use super::*;

#[tokio::test]
async fn an_unknown_path_and_a_wrong_method_are_told_in_json() {
    let world = World::new().await;
    for path in [
        "/api",
        "/api/",
        "/api/v1",
        "/api/v1/nothing",
        "/api/v1/repos/nothing",
        "/api/v1/repos//",
        "/api/v1/admin/users/a/b/c",
        "/api/v2/repos",
    ] {
        let error = world.get(path, &world.admin).await.refused(404);
        assert!(error.contains(path), "{path}: {error}");
    }
    for (method, path, allow) in [
        (Method::PUT, "/api/v1/repos", "POST,GET,HEAD"),
        (Method::GET, "/api/v1/repos/delete", "DELETE"),
        (Method::POST, "/api/v1/repos/file", "GET,HEAD"),
        (Method::DELETE, "/api/v1/admin/users", "POST,GET,HEAD"),
    ] {
        let answer = world.ask(method.clone(), path, "", Value::Null).await;
        answer.refused(405);
        assert_eq!(answer.header("allow"), Some(allow), "{method} {path}");
    }
}

#[tokio::test]
async fn a_trailing_slash_and_head_change_nothing() {
    let world = World::new().await;
    for path in ["/api/v1/admin/users", "/api/v1/admin/repositories"] {
        let plain = world.get(path, &world.admin).await;
        let slash = world.get(&format!("{path}/"), &world.admin).await;
        assert_eq!(plain.is(200), slash.is(200));
        let head = world
            .ask(Method::HEAD, path, &world.admin, Value::Null)
            .await;
        assert_eq!(head.status, StatusCode::OK);
        assert!(head.body.is_empty());
        let length = plain.body.len().to_string();
        assert_eq!(head.header("content-length"), Some(length.as_str()));
    }
}

#[tokio::test]
async fn a_bad_credential_is_never_taken_for_none() {
    let world = World::new().await;
    world
        .makes(
            "repositories",
            json!({"path": "admin/open", "visibility": "public"}),
        )
        .await;
    let path = "/api/v1/admin/repositories/admin%2Fopen";
    world.get(path, "").await.is(200);
    for token in ["ph_nothing", "a.b.c", "nonsense"] {
        let answer = world.get(path, token).await;
        answer.refused(401);
        assert_eq!(
            answer.header("www-authenticate"),
            Some("Bearer realm=\"packhorse\"")
        );
    }
    let request = Request::get(path)
        .header("authorization", "Bearer x")
        .header("private-token", &world.admin);
    let twice = world.send(request.body(Body::empty()).unwrap()).await;
    twice.refused(401);
}

#[tokio::test]
async fn tokens_are_taken_in_every_header_that_clients_use() {
    let world = World::new().await;
    for (name, value) in [
        ("authorization", format!("bearer {}", world.admin)),
        ("private-token", world.admin.clone()),
        ("x-auth-token", world.admin.clone()),
    ] {
        let request = Request::get("/api/v1/admin/users").header(name, value);
        let answer = world.send(request.body(Body::empty()).unwrap()).await;
        answer.is(200);
    }
}

#[tokio::test]
async fn bodies_are_json_of_the_right_shape_and_bounded() {
    let world = World::new().await;
    let send = async |body: Vec<u8>| {
        let request = Request::post("/api/v1/admin/namespaces")
            .header("authorization", format!("Bearer {}", world.admin));
        world.send(request.body(Body::from(body)).unwrap()).await
    };
    for body in [
        "",
        "{",
        "[]",
        "null",
        "{}",
        r#"{"name": 1}"#,
        r#"{"name": "a/b"}"#,
        r#"{"name": "acme", "colour": "red"}"#,
        r#"{"name": "acme"} {"#,
        "{\"name\": \"\u{1}\"}",
    ] {
        send(body.as_bytes().to_vec()).await.refused(400);
    }
    send(b"{\"name\": \"\xff\"}".to_vec()).await.refused(400);
    send(vec![b'['; 5000]).await.refused(400);

    let padded = |length: usize| {
        let mut body = br#"{"name": "acme"}"#.to_vec();
        body.resize(length, b' ');
        body
    };
    send(padded(BODY_MAX_BYTES + 1)).await.refused(413);
    send(padded(BODY_MAX_BYTES)).await.is(201);

    // The length of a chunked body is not announced.
    let chunks = vec![Bytes::from(vec![b' '; 4096]); 5];
    let chunks = chunks.into_iter().map(Ok::<_, std::io::Error>);
    let chunked = Body::from_stream(futures_util::stream::iter(chunks));
    let request = Request::post("/api/v1/admin/namespaces")
        .header("authorization", format!("Bearer {}", world.admin));
    world
        .send(request.body(chunked).unwrap())
        .await
        .refused(413);

    let request = Request::post("/api/v1/admin/namespaces")
        .header("authorization", format!("Bearer {}", world.admin))
        .header("content-encoding", "gzip");
    let compressed = world.send(request.body(Body::from("x")).unwrap()).await;
    compressed.refused(415);
}

#[tokio::test]
async fn a_stranger_learns_nothing_from_a_bad_body() {
    let world = World::new().await;
    world.repository("admin/novel").await;
    let alice = world.user("alice").await;
    for (path, token, status) in [
        ("/api/v1/admin/users", "", 401),
        ("/api/v1/admin/users", alice.as_str(), 403),
        (
            "/api/v1/admin/repositories/admin%2Fnovel/deploy_keys",
            alice.as_str(),
            404,
        ),
        (
            "/api/v1/admin/repositories/admin%2Fabsent/deploy_keys",
            alice.as_str(),
            404,
        ),
    ] {
        let answer = world.post(path, token, json!("nonsense")).await;
        answer.refused(status);
    }
}

#[tokio::test]
async fn paths_and_queries_that_are_not_utf_8_are_refused() {
    let world = World::new().await;
    let admin = world.admin.as_str();
    let answer = world.get("/api/v1/admin/users/%ff", admin).await;
    answer.refused(400);
    let answer = world.get("/api/v1/admin/users?cursor=%ff", admin).await;
    answer.refused(400);
    let answer = world
        .get("/api/v1/admin/users?limit=1&limit=2", admin)
        .await;
    answer.refused(400);
}
