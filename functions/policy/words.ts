/** What a language must have words for. */
import type { Language } from "#shared/languages.ts";
import type { PolicyRow } from "#shared/policy.ts";
import type { Finding, State } from "./findings.ts";
import { english } from "./words-en.ts";
import { indonesian } from "./words-id.ts";

export interface Words {
  title: string;
  description: string;
  skip: string;
  languageLabel: string;
  nav: { policy: string; status: string; dashboard: string };
  hero: { allKept: string; someRed(red: number): string; lede: string; measured(ago: string): string; never: string };
  states: Record<State, string>;
  kinds: Record<PolicyRow["proof"]["kind"], string>;
  kindNotes: Record<PolicyRow["proof"]["kind"], string>;
  groups: Record<string, string>;
  /** Why it is red, and what that means. */
  finding(finding: Finding, say: { span(hours: number): string; store(name: string): string }): string;
  stores: Record<string, string>;
  live: {
    title: string;
    purge: string; purgeNone: string; purgeNote: string;
    erasures: string; erasuresNone: string; erasuresOldest(span: string): string; erasuresNote(days: number): string;
    canary: string; canaryNone: string; canaryNote: string; canaryHits(hits: number): string;
    canaryDetail(bytes: string, searched: number, controls: number, not: number): string;
    audit: string; auditNone: string; auditRows(rows: number): string;
    versions: string; policyVersion: string; release: string; migration: string;
    backups: string; backupsNone: string; backupsWindow(days: number): string; backupsNote(early: number): string;
  };
  retention: {
    title: string; lede: string; store: string; oldest: string; live: string; promised: string; margin: string; none: string;
    ofBackups(span: string): string; past(span: string): string;
  };
  promises: { title: string; lede: string; limit: string; tests(id: string): string };
  statements: { title: string; lede: string; role: string; stated: string; expires: string; none: string };
  versions: { title: string; inForce(version: string, date: string): string };
  verify: { title: string; lede: string; evidence: string; keys: string; data: string; status: string; disclosure: string };
  rights: { title: string; text: string };
  footer: string;
  status: {
    title: string; description: string; up: string; degraded: string; lede: string; checked(time: string): string; functions: string;
    engines: string; enginesNote: string; enginesUnknown: string; enginesUp(up: number, all: number): string; database: string;
    states: { up: string; away: string }; purposes: Record<string, string>;
  };
}

export const wordsIn: Record<Language, Words> = { en: english, id: indonesian };
