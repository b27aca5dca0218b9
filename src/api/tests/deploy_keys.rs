//! Deploy keys of repositories.

use super::*;

#[tokio::test]
async fn one_key_opens_many_repositories_each_in_its_own_way() {
    let world = World::new().await;
    let alice = world.user("alice").await;
    world.repository("alice/a").await;
    let b = world.repository("alice/b").await;
    let of_a = "/api/v1/admin/repositories/alice%2Fa/deploy_keys";
    let of_b = format!("/api/v1/admin/repositories/{b}/deploy_keys");
    let key = ssh_key("robot");
    let made = world.post(of_a, &alice, json!({"key": key})).await.is(201);
    assert_eq!(made["can_push"], false);
    assert_eq!(made["title"], "robot");
    assert!(made.get("refs").is_none());
    let body = json!({"key": key, "title": "CI", "can_push": true, "refs": [["v*", ["no-push"]]]});
    let other = world.post(&of_b, &alice, body).await.is(201);
    assert_eq!(other["id"], made["id"]);
    assert_eq!(other["can_push"], true);
    assert_eq!(other["title"], "CI");
    assert_eq!(other["refs"], json!([["v*", ["no-push"]]]));
    let again = world.post(of_a, &alice, json!({"key": key})).await;
    again.refused(409);
    let listed = world.get(of_a, &alice).await.is(200);
    assert_eq!(listed["items"], json!([made]));
    let one = format!("{of_a}/{}", made["id"]);
    assert_eq!(world.get(&one, &alice).await.is(200), made);
    world.delete(&one, &alice).await.is(204);
    world.delete(&one, &alice).await.refused(404);
    world.get(&one, &alice).await.refused(404);
    let kept = format!("{of_b}/{}", made["id"]);
    world.get(&kept, &alice).await.is(200);
}

#[tokio::test]
async fn a_key_is_a_person_s_or_a_deploy_key_and_never_both() {
    let world = World::new().await;
    let alice = world.user("alice").await;
    world.repository("alice/a").await;
    let deploy_keys = "/api/v1/admin/repositories/alice%2Fa/deploy_keys";
    let keys = "/api/v1/admin/users/alice/keys";
    let person = json!({"key": ssh_key("laptop")});
    world.post(keys, &alice, person.clone()).await.is(201);
    world.post(deploy_keys, &alice, person).await.refused(409);
    let robot = json!({"key": ssh_key("robot")});
    world.post(deploy_keys, &alice, robot.clone()).await.is(201);
    world.post(keys, &alice, robot).await.refused(409);
}

#[tokio::test]
async fn only_who_administers_the_repository_touches_its_keys() {
    let world = World::new().await;
    let (alice, bob) = (world.user("alice").await, world.user("bob").await);
    world.repository("alice/a").await;
    let repository = "/api/v1/admin/repositories/alice%2Fa";
    let keys = format!("{repository}/deploy_keys");
    let body = json!({"key": ssh_key("robot")});
    world.post(&keys, &bob, body.clone()).await.refused(404);
    world.get(&keys, "").await.refused(401);
    let member = format!("{repository}/members/bob");
    for (role, status) in [("read", 403), ("write", 403), ("admin", 200)] {
        let given = world.put(&member, &alice, json!({"role": role})).await;
        given.is(204);
        let listed = world.get(&keys, &bob).await;
        assert_eq!(listed.status.as_u16(), status, "{role}");
    }
    world.post(&keys, &bob, body).await.is(201);
    let above = world.put(&member, &bob, json!({"role": "owner"})).await;
    above.refused(403);
    let reader = world.token("alice", &["git:write"]).await;
    world.get(&keys, &reader).await.refused(403);
    let nonsense = world.post(&keys, &alice, json!({"key": "nonsense"})).await;
    nonsense.refused(400);
    let absent = format!("{keys}/laptop");
    world.get(&absent, &alice).await.refused(404);
}
