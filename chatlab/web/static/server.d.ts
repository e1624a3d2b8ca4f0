// The server's JSON. Written by `python -m chatlab.web.typescript`: change the models, not this file.

/** A refusal, with its reason in a sentence. */
export interface Refusal {
  error: string;
}

/** The person who is signed in. */
export interface Me {
  name: string;
}

/**
 * The number of links. audiences: the groups that each of them is for, none being everybody who signs in;
 * groups: those of the asker. Both only where people sign in.
 */
export interface Links {
  links: number;
  audiences?: string[][];
  groups?: string[];
}

/** A link that was made, by the last part of its address. */
export interface ShareLink {
  token: string;
}

/** The models that the server of a backend lists. problem: why it lists none; "" if it does. */
export interface ModelsListed {
  models: string[];
  problem: string;
}

/** A wish for a link. groups: of the asker's, those that it is for; none is everybody who signs in. */
export interface ShareFor {
  groups?: string[];
}

/** The options of every page. No backend is in it: a page that opens a blind session is told of none. */
export interface PageOptions {
  title: string;
  storage: boolean;
  sharing: boolean;
  examples: string[];
}

/** A parameter that a backend takes. minimum, maximum: null is no limit. */
export interface ParameterView {
  name: string;
  type: string;
  description: string;
  minimum: number | null;
  maximum: number | null;
  choices: string[];
}

/**
 * A backend to choose. ready: why it is not, or null. discovers: whether one of its server's models may
 * be chosen, as `name:model`.
 */
export interface BackendView {
  name: string;
  label: string;
  ready: string | null;
  discovers: boolean;
  parameters: ParameterView[];
}

/** A lane as the configuration or a form describes it. */
export interface LaneSpec {
  backend?: string;
  label?: string | null;
  parameters?: Record<string, unknown>;
  system?: string | null;
}

/** The values with which the form for a new session begins. */
export interface Defaults {
  lanes: LaneSpec[];
  mode: "own" | "shared";
  blind: boolean;
  reveal: "as they come" | "together" | "paced";
  repeats: number;
  criteria: string[];
  reasons: string[];
}

/** The backends that the forms for a new session and for another lane offer. */
export interface BackendChoices {
  backends: BackendView[];
  defaults: Defaults;
}

/** A session of the list. updated: when, by ISO 8601. */
export interface SessionListed {
  id: string;
  title: string;
  updated: string;
}

/** One page of the list. next: what the one after it is asked for by, or null. */
export interface SessionList {
  sessions: SessionListed[];
  next: string | null;
}

/**
 * A lane. While names are hidden it has a letter for an id and a name, and nothing else. answers: its
 * backend by what people read of it. asked_as: as whom it was asked last.
 */
export interface LaneView {
  id: string;
  name: string;
  label?: string;
  backend?: string;
  answers?: string;
  parameters?: Record<string, unknown>;
  system?: string | null;
  asked_as?: string | null;
  ready?: string | null;
  model?: string | null;
}

/** A model's reasoning, or the sources: folded beside an answer. took: how long, in words. */
export interface FoldedView {
  title: string;
  html: string;
  took: string | null;
}

/** A note beside an answer. more: the sentences that its line leaves out. */
export interface NoteView {
  line: string;
  more: string[];
}

/** A call of a tool. result: null until there is one. took: how long, in words. */
export interface ToolView {
  name: string;
  arguments: string;
  result: string | null;
  took: string | null;
}

/** The figures of an answer. line: all of it in words. Times in seconds; null is unknown. */
export interface FiguresView {
  line: string;
  first_token: number | null;
  total: number | null;
  tokens_per_second: number | null;
  longest_stall: number | null;
  input: number | null;
  output: number | null;
  cost: number | null;
  finish: string | null;
  model: string | null;
  receipt: string | null;
}

/**
 * One answer; while it runs or waits its text is painted instead.
 *
 * names: whether it names a lane of its blind session.
 */
export interface AnswerView {
  status: string;
  html: string;
  turn?: string;
  error?: string | null;
  notices?: NoteView[];
  thoughts?: FoldedView[];
  tools?: ToolView[];
  sources?: FoldedView;
  figures?: FiguresView;
  names?: boolean;
}

/** This person's vote. best: a lane, "tie" or "bad". changes: how often it was changed. */
export interface VoteView {
  best: string;
  reasons: string[];
  note: string;
  marked: string[];
  changes: number;
}

/** The times of a lane, for a chart: medians in seconds, and the same in words. */
export interface TimingView {
  name: string;
  first_token: number | null;
  total: number | null;
  said: string;
  spoken: string;
}

/**
 * The message of a round, and where it stands among its versions. message: the id of the first of them.
 *
 * previous, next: the version before or after it, as far as there is one to go to.
 */
export interface QuestionView {
  id: string;
  message: string;
  version: number;
  versions: number;
  previous: string | null;
  next: string | null;
  text: string;
  text_html: string;
  files: string[];
}

/**
 * A message and what each lane answered.
 *
 * only: the lanes that were asked, if not all were. given: of a lane with more answers than are shown, which
 * is shown, from 1, and of how many. chosen: which repeat a lane goes on from. copied: by lane that was not
 * asked, whose answer it goes on from. picked: the lane whose answer all go on from.
 */
export interface RoundView {
  id: string;
  message: string;
  version: number;
  versions: number;
  previous: string | null;
  next: string | null;
  text: string;
  text_html: string;
  files: string[];
  only: string[] | null;
  answers: Record<string, AnswerView[]>;
  timings: TimingView[];
  given: Record<string, number[]>;
  picked: string | null;
  votes: Record<string, VoteView>;
  mismatches: string[];
  chosen: Record<string, number>;
  copied: Record<string, string>;
}

/** A whole session as one person sees it. unsaved: why something that was answered is not saved. */
export interface SessionView {
  id: string;
  title: string;
  mode: "own" | "shared";
  blind: boolean;
  hidden: boolean;
  reveal: "as they come" | "together" | "paced";
  criteria: string[];
  reasons: string[];
  running: boolean;
  seq: number;
  unsaved: string[];
  lanes: LaneView[];
  rounds: RoundView[];
  timings: TimingView[];
}

/** The new part of a running answer. add: HTML that stays. tail: HTML of the block that grows. */
export interface PaintEvent {
  round: string;
  lane: string;
  repeat: number;
  add?: string;
  tail?: string;
  doing?: string;
}

/** An answer that has ended. timings, overall: of its round, and of all rounds. */
export interface AnswerEvent {
  round: string;
  lane: string;
  repeat: number;
  running: boolean;
  answer: AnswerView;
  timings: TimingView[];
  overall: TimingView[];
}

/** A session that was begun. */
export interface Begun {
  id: string;
}

/** A chat that a session is to begin with. lane: as what its last answer was asked. */
export interface ChatToCompare {
  title: string;
  lane: LaneSpec;
}

/** A round that was asked. */
export interface RoundAsked {
  round: string;
}

/** The message that was taken back. */
export interface UndoneView {
  text: string;
}

/** A lane that was added or changed. */
export interface LaneMade {
  lane: string;
}

/** The conversation of the chat page that goes on from a lane. */
export interface Continued {
  conversation: string;
}

/** An attachment. not_for: the lanes that are asked without it, as a sentence, or null. */
export interface Uploaded {
  id: string;
  name: string | null;
  media_type: string;
  not_for: string | null;
}

/** The receipt of one turn of a lane. */
export interface SentReceipt {
  lane: string;
  repeat: number;
  receipt: Record<string, unknown>;
}

/** The differences between two lanes' requests, a line each; none if they are the same. */
export interface SentDifferenceView {
  a: string;
  b: string;
  lines: string[];
}

/** The receipts of a round. mismatches: what differs though it should not, a sentence each. */
export interface Receipts {
  receipts: SentReceipt[];
  differences: SentDifferenceView[];
  mismatches: string[];
}

/** A piece of two texts. */
export interface SpanView {
  kind: "same" | "only_a" | "only_b";
  text: string;
}

/** The difference of two answers. agreement: the share of words that agree, from 0 to 1. */
export interface DifferenceView {
  agreement: number;
  spans: SpanView[];
}

/** The spread of each lane's repeats, a sentence a lane and a sentence a difference. */
export interface SpreadView {
  measure: string;
  lanes: string[];
  differences: string[];
}

/** agreement: by two lanes, "a|b", the share of words that agree, from 0 to 1. */
export interface AgreementView {
  agreement: Record<string, number>;
  spread: SpreadView[];
}

/** One lane of a ranking. score, low, high: points on Elo's scale; low and high of a 95 % interval. */
export interface RankedRow {
  rank: string;
  lane: string;
  score: number;
  low: number | null;
  high: number | null;
  count: string;
}

/** The ranking by one criterion. notes: what to know of it, a sentence each. */
export interface RankedCriterion {
  criterion: string;
  rows: RankedRow[];
  notes: string[];
}

/** The rankings by the votes, one for each criterion. */
export interface RankingView {
  sentence: string | null;
  criteria: RankedCriterion[];
}

/** A change of a conversation; fields that are left out stay. */
export interface ConversationChange {
  title?: string | null;
  pinned?: boolean | null;
}

/**
 * A conversation of the list. updated: when, by ISO 8601.
 *
 * turn, snippet: where a search found it; a match in the snippet stands between U+E000 and U+E001.
 */
export interface ConversationListed {
  id: string;
  title: string;
  updated: string;
  pinned: boolean;
  turn?: string | null;
  snippet?: string;
}

/** One page of the list. next: what the one after it is asked for by, or null. */
export interface ConversationList {
  conversations: ConversationListed[];
  next: string | null;
}

/** The number of things that this browser had before its person signed in, to be taken along, or taken. */
export interface Along {
  conversations: number;
  comparisons: number;
}

/** The outcome of an import. problems: a sentence for each piece that was not. */
export interface Imported {
  conversations: number;
  comparisons: number;
  turns: number;
  problems: string[];
}

/**
 * The state of a visitor's import. turns: taken in so far, null while nothing is imported. most_mb: of
 * a file, at most.
 */
export interface ImportProgress {
  turns: number | null;
  most_mb: number;
}

/** conversation, turn: the chat that it begins with, up to which of its answers. */
export interface Begin {
  lanes: CompareLane[];
  mode?: "own" | "shared";
  blind?: boolean;
  reveal?: "as they come" | "together" | "paced";
  repeats?: number;
  conversation?: string | null;
  turn?: string;
}

export interface Ask {
  text?: string;
  files?: string[];
  lanes?: string[] | null;
  repeats?: number | null;
}

export interface Edit {
  round: string;
  text: string;
  lanes?: string[] | null;
}

export interface Retry {
  round: string;
  lanes?: string[] | null;
}

/** To another version of a message, for all lanes; or to another of one lane's answers, from 0. */
export interface Checkout {
  round: string;
  lane?: string | null;
  answer?: number;
}

export interface Undo {
  lanes?: string[] | null;
}

/**
 * history_from: the lane it goes on from, if it is not to begin anew; for one that takes another's place,
 * any: it goes on from that.
 */
export interface NewLane {
  backend: string;
  label?: string | null;
  parameters?: Record<string, unknown>;
  system?: string | null;
  history_from?: string | null;
}

export interface Which {
  lane?: string | null;
}

export interface LaneOrder {
  lanes: string[];
}

export interface ModeWanted {
  mode: "own" | "shared";
}

export interface Pick {
  round: string;
  lane: string;
  repeat?: number;
}

export interface Ballot {
  round: string;
  criterion: string;
  best: string;
  reasons?: string[];
  note?: string;
}

export interface Title {
  title: string;
}

/** A lane that a comparison begins with. */
export interface CompareLane {
  backend: string;
  label?: string | null;
  parameters?: Record<string, unknown>;
  system?: string | null;
}
