//! Users: added with a token that is shown once, listed, revoked.

use api::view::{NewUser, TokenView, UserList, UserView};

use crate::argv::UserCommand;
use crate::client::{Client, segment};
use crate::exit::{Exit, Failure};
use crate::output::{Output, Table, facts, say};

pub(super) async fn user(client: &Client, command: UserCommand, output: Output) -> Result<Exit, Failure> {
    match command {
        UserCommand::Add { name, roles, tool } => {
            let made: TokenView = client.post("/v1/users", &NewUser { name, roles, tool }).await?;
            output.one(&made, |made| {
                facts(&[
                    ("name", Some(made.user.name.clone())),
                    ("roles", Some(made.user.roles.join(", "))),
                    ("subject", Some(made.user.subject.clone())),
                    ("token", Some(made.token.clone())),
                ])
            })?;
            say("the token is shown this once; use it with MODELRAIL_TOKEN");
        }
        UserCommand::List => {
            let list: UserList = client.get("/v1/users", &[]).await?;
            output.list(&list.users, table)?;
        }
        UserCommand::Revoke { name } => {
            let gone: UserView = client.act("DELETE", &format!("/v1/users/{}", segment(&name))).await?;
            output.one(&gone, |gone| format!("{} has no token and no roles any more\n", gone.name))?;
        }
    }
    Ok(Exit::Good)
}

fn table(users: &[UserView]) -> String {
    let mut table = Table::new(&["NAME", "ROLES", "SUBJECT", ""]);
    for user in users {
        let tool = if user.tool { "tool" } else { "" };
        table.row([user.name.clone(), user.roles.join(", "), user.subject.clone(), tool.to_owned()]);
    }
    table.render()
}
