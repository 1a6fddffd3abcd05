//! `token create|list|revoke`

use super::arguments::{Expiry, TokenCommand};
use super::client::Client;
use super::{CommandError, output};
use crate::http::{CreateToken, CreatedToken, TokenList};

pub(super) async fn run(command: TokenCommand) -> Result<(), CommandError> {
    match command {
        TokenCommand::Create { reusable, expires, tags, description, json, server } => {
            let (expires_in_s, never_expires) = match expires {
                Expiry::Never => (None, true),
                Expiry::Seconds(seconds) => (Some(seconds), false),
            };
            let request = CreateToken { description, reusable, expires_in_s, never_expires, tags };
            let created: CreatedToken = Client::new(&server)?.post("/api/v1/tokens", &request).await?;
            if json {
                return output::json(&created);
            }
            let uses = if created.token.reusable { "any number of nodes" } else { "one node" };
            let until =
                created.token.expires_at.map_or_else(|| "for ever".to_owned(), |at| format!("until {at}"));
            output::remark(&format!(
                "Token {} is good for {uses}, {until}. On the new node, run:\n",
                created.token.id
            ));
            output::text(&format!("{}\n", created.command))
        }
        TokenCommand::List { json, server } => {
            let list: TokenList = Client::new(&server)?.get("/api/v1/tokens").await?;
            if json {
                return output::json(&list);
            }
            let rows: Vec<_> = list
                .tokens
                .into_iter()
                .map(|token| {
                    let limit = if token.reusable { "∞" } else { "1" };
                    vec![
                        token.id.to_string(),
                        token.state,
                        format!("{}/{limit}", token.uses),
                        token.expires_at.map_or_else(|| "never".to_owned(), |at| at.to_string()),
                        output::list(&token.tags),
                        token.description,
                    ]
                })
                .collect();
            output::table(&["ID", "STATE", "USES", "EXPIRES", "TAGS", "DESCRIPTION"], &rows)
        }
        TokenCommand::Revoke { id, server } => {
            Client::new(&server)?.delete(&format!("/api/v1/tokens/{id}")).await?;
            output::text(&format!("token {id} is revoked\n"))
        }
    }
}
