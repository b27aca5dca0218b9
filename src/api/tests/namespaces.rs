//! Namespaces with their members, issuer keys and robots.

use super::*;

#[tokio::test]
async fn organizations_are_made_by_administrators() {
    let world = World::new().await;
    let alice = world.user("alice").await;
    let path = "/api/v1/admin/namespaces";
    let body = json!({"name": "acme"});
    world.post(path, &alice, body.clone()).await.refused(403);
    let made = world.post(path, &world.admin, body.clone()).await.is(201);
    assert_eq!(made["kind"], "organization");
    assert_eq!(made["uuid"].as_str().unwrap().len(), 32);
    world.post(path, &world.admin, body).await.refused(409);
    let taken = world
        .post(path, &world.admin, json!({"name": "ALICE"}))
        .await;
    taken.refused(409);
    let shown = world.get(&format!("{path}/acme"), &alice).await.is(200);
    assert_eq!(shown, made);
    let own = world.get(&format!("{path}/alice"), &alice).await.is(200);
    assert_eq!(own["kind"], "user");
    world
        .get(&format!("{path}/absent"), &alice)
        .await
        .refused(404);
    world.get(&format!("{path}/api"), &alice).await.refused(400);
    world.get(path, &alice).await.refused(403);
    let listed = world.get(path, &world.admin).await.is(200);
    assert_eq!(each(&listed["items"], "name"), ["admin", "alice", "acme"]);
}

#[tokio::test]
async fn a_member_sees_what_the_role_allows_until_it_is_taken_away() {
    let world = World::new().await;
    let alice = world.user("alice").await;
    world.makes("namespaces", json!({"name": "acme"})).await;
    world.repository("acme/novel").await;
    let novel = "/api/v1/admin/repositories/acme%2Fnovel";
    world.get(novel, &alice).await.refused(404);
    let members = "/api/v1/admin/namespaces/acme/members";
    let member = "/api/v1/admin/namespaces/acme/members/alice";
    let role = |role: &str| json!({"role": role});
    world.put(member, &alice, role("owner")).await.refused(404);
    world
        .put(member, &world.admin, role("king"))
        .await
        .refused(400);
    world.put(member, &world.admin, role("read")).await.is(204);
    world.get(novel, &alice).await.is(200);
    world.delete(novel, &alice).await.refused(403);
    world.get(members, &alice).await.refused(403);
    world.put(member, &world.admin, role("owner")).await.is(204);
    let listed = world.get(members, &alice).await.is(200);
    assert_eq!(listed["items"], json!([{"name": "alice", "role": "owner"}]));
    let nobody = "/api/v1/admin/namespaces/acme/members/nobody";
    world.put(nobody, &alice, role("read")).await.refused(404);
    world.delete(member, &world.admin).await.is(204);
    world.get(novel, &alice).await.refused(404);
}

#[tokio::test]
async fn issuer_keys_are_added_listed_and_deleted() {
    let world = World::new().await;
    let alice = world.user("alice").await;
    world.makes("namespaces", json!({"name": "acme"})).await;
    let path = "/api/v1/admin/namespaces/acme/issuers";
    let key = json!({"public_key": ISSUER_PUBLIC_KEY, "kid": "k1"});
    world.post(path, &alice, key.clone()).await.refused(404);
    let private = json!({"public_key": ISSUER_KEY});
    world.post(path, &world.admin, private).await.refused(400);
    let made = world.post(path, &world.admin, key.clone()).await.is(201);
    assert_eq!(made["family"], "ec");
    world.post(path, &world.admin, key).await.refused(409);
    let listed = world.get(path, &world.admin).await.is(200);
    assert_eq!(each(&listed["items"], "kid"), ["k1"]);

    let repos = "/api/v1/repos";
    let by_jwt = jwt("novel", &["repo:write"]);
    world.post(repos, &by_jwt, Value::Null).await.is(201);
    let one = format!("{path}/{}", made["id"]);
    world.delete(&one, &world.admin).await.is(204);
    world.delete(&one, &world.admin).await.refused(404);
    world.get("/api/v1/repo", &by_jwt).await.refused(401);
}

#[tokio::test]
async fn a_robot_may_what_it_was_made_a_member_of() {
    let world = World::new().await;
    let alice = world.user("alice").await;
    world.repository("alice/novel").await;
    let robots = "/api/v1/admin/namespaces/alice/robots";
    let made = world
        .post(robots, &alice, json!({"name": "ci"}))
        .await
        .is(201);
    assert_eq!(made["full_name"], "alice+ci");
    world
        .post(robots, &alice, json!({"name": "ci"}))
        .await
        .refused(409);
    let tokens = format!("{robots}/ci/tokens");
    let made = world.post(&tokens, &alice, json!({})).await.is(201);
    let robot = made["token"].as_str().unwrap();
    let absent = world
        .post(&format!("{robots}/x/tokens"), &alice, json!({}))
        .await;
    absent.refused(404);
    let novel = "/api/v1/admin/repositories/alice%2Fnovel";
    world.get(novel, robot).await.refused(404);
    let member = format!("{novel}/members/alice+ci");
    let put = world.put(&member, &alice, json!({"role": "write"})).await;
    put.is(204);
    world.get(novel, robot).await.is(200);
    let listed = world.get(&format!("{novel}/members"), &alice).await.is(200);
    assert_eq!(
        listed["items"],
        json!([{"name": "alice+ci", "role": "write"}])
    );
    let listed = world.get(robots, &alice).await.is(200);
    assert_eq!(each(&listed["items"], "name"), ["ci"]);
    world.delete(&format!("{robots}/ci"), &alice).await.is(204);
    world.get(novel, robot).await.refused(401);
}
