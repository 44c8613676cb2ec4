/** The stack's database: made, migrated, and one login for each function that has one. */
import {
  connectAsOwner, type DatabaseFunction, databaseFunctions, databaseUrl, ensureDatabase, migrate, roleName, setRolePasswords,
} from "./migrate.ts";
import type { Secrets } from "./secrets.ts";

export interface PreparedDatabase {
  /** As superuser. */
  url: string;
  /** Connection URLs of the functions, by the names of their secrets. */
  secrets: Record<string, string>;
}

const databaseName = "epithre";

/** `postgresUrl` connects as superuser to the server. */
export async function prepareDatabase(postgresUrl: string, secrets: Secrets): Promise<PreparedDatabase> {
  const url = await ensureDatabase(postgresUrl, databaseName);
  const passwords: Partial<Record<DatabaseFunction, string>> = {};
  for (const name of databaseFunctions) passwords[name] = await secrets.value(`password-${roleName(name)}`);
  const sql = connectAsOwner(url);
  try {
    await migrate(sql);
    await setRolePasswords(sql, passwords);
  } finally {
    await sql.end();
  }
  const urls = databaseFunctions.map((name) => {
    const login = { user: roleName(name), password: passwords[name]! };
    return [`database-${name}`, databaseUrl(url, databaseName, login)];
  });
  return { url, secrets: Object.fromEntries(urls) };
}
