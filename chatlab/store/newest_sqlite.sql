-- The newest tables in SQLite, for a new file. Made of the steps in migrations: python -m tests.store.test_schema > chatlab/store/newest_sqlite.sql
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
CREATE TABLE comparisons (
	id TEXT NOT NULL, 
	owner TEXT NOT NULL, 
	title TEXT NOT NULL, 
	created DATETIME NOT NULL, 
	updated DATETIME NOT NULL, 
	deleted DATETIME, 
	entries INTEGER NOT NULL, 
	CONSTRAINT pk_comparisons PRIMARY KEY (id), 
	CONSTRAINT uq_comparisons_owner_id UNIQUE (owner, id)
);
CREATE INDEX ix_comparisons_owner_created_id ON comparisons (owner, created, id);
CREATE TABLE servers (
	token TEXT NOT NULL, 
	host TEXT NOT NULL, 
	pid BIGINT NOT NULL, 
	seen DATETIME NOT NULL, 
	CONSTRAINT pk_servers PRIMARY KEY (token)
);
CREATE TABLE conversations (
	id TEXT NOT NULL, 
	owner TEXT NOT NULL, 
	title TEXT NOT NULL, 
	created DATETIME NOT NULL, 
	updated DATETIME NOT NULL, 
	deleted DATETIME, 
	pinned BOOLEAN NOT NULL, 
	head TEXT, 
	comparison TEXT, 
	CONSTRAINT pk_conversations PRIMARY KEY (id), 
	CONSTRAINT fk_conversations_owner_comparison FOREIGN KEY(owner, comparison) REFERENCES comparisons (owner, id) ON DELETE CASCADE, 
	CONSTRAINT uq_conversations_owner_id UNIQUE (owner, id)
);
CREATE INDEX ix_conversations_comparison ON conversations (comparison);
CREATE INDEX ix_conversations_recent ON conversations (owner, pinned, updated, id) WHERE deleted IS NULL AND comparison IS NULL;
CREATE TABLE log_entries (
	comparison TEXT NOT NULL, 
	seq INTEGER NOT NULL, 
	owner TEXT NOT NULL, 
	at DATETIME NOT NULL, 
	data TEXT NOT NULL, 
	CONSTRAINT pk_log_entries PRIMARY KEY (comparison, seq), 
	CONSTRAINT fk_log_entries_owner_comparison FOREIGN KEY(owner, comparison) REFERENCES comparisons (owner, id) ON DELETE CASCADE
);
CREATE TABLE documents (
	number INTEGER NOT NULL, 
	owner TEXT NOT NULL, 
	conversation TEXT NOT NULL, 
	turn TEXT, 
	words TEXT NOT NULL, 
	CONSTRAINT pk_documents PRIMARY KEY (number), 
	CONSTRAINT fk_documents_owner_conversation FOREIGN KEY(owner, conversation) REFERENCES conversations (owner, id) ON DELETE CASCADE
);
CREATE INDEX ix_documents_owner_conversation ON documents (owner, conversation);
CREATE UNIQUE INDEX ix_documents_turn ON documents (turn);
CREATE TABLE shares (
	token_hash TEXT NOT NULL, 
	owner TEXT NOT NULL, 
	conversation TEXT, 
	comparison TEXT, 
	created DATETIME NOT NULL, audience TEXT, 
	CONSTRAINT pk_shares PRIMARY KEY (token_hash), 
	CONSTRAINT ck_shares_ck_shares_one_thing CHECK ((conversation IS NULL) <> (comparison IS NULL)), 
	CONSTRAINT fk_shares_owner_comparison FOREIGN KEY(owner, comparison) REFERENCES comparisons (owner, id) ON DELETE CASCADE, 
	CONSTRAINT fk_shares_owner_conversation FOREIGN KEY(owner, conversation) REFERENCES conversations (owner, id) ON DELETE CASCADE
);
CREATE INDEX ix_shares_comparison ON shares (comparison);
CREATE INDEX ix_shares_conversation ON shares (conversation);
CREATE TABLE turns (
	id TEXT NOT NULL, 
	owner TEXT NOT NULL, 
	conversation TEXT NOT NULL, 
	parent TEXT, 
	created DATETIME NOT NULL, 
	status TEXT NOT NULL, 
	server TEXT, 
	asked TEXT NOT NULL, 
	answered TEXT NOT NULL, 
	CONSTRAINT pk_turns PRIMARY KEY (id), 
	CONSTRAINT fk_turns_conversation_parent FOREIGN KEY(conversation, parent) REFERENCES turns (conversation, id) DEFERRABLE INITIALLY DEFERRED, 
	CONSTRAINT fk_turns_owner_conversation FOREIGN KEY(owner, conversation) REFERENCES conversations (owner, id) ON DELETE CASCADE, 
	CONSTRAINT uq_turns_conversation_id UNIQUE (conversation, id), 
	CONSTRAINT uq_turns_owner_id UNIQUE (owner, id)
);
CREATE INDEX ix_turns_conversation_parent ON turns (conversation, parent);
CREATE INDEX ix_turns_owner_conversation ON turns (owner, conversation);
CREATE INDEX ix_turns_running ON turns (server) WHERE status = 'running';
CREATE TABLE attachments (
	turn TEXT NOT NULL, 
	sha256 TEXT NOT NULL, 
	owner TEXT NOT NULL, 
	media_type TEXT NOT NULL, 
	CONSTRAINT pk_attachments PRIMARY KEY (turn, sha256), 
	CONSTRAINT fk_attachments_owner_turn FOREIGN KEY(owner, turn) REFERENCES turns (owner, id) ON DELETE CASCADE
);
CREATE INDEX ix_attachments_sha256_owner ON attachments (sha256, owner);
CREATE TABLE receipts (
	turn TEXT NOT NULL, 
	owner TEXT NOT NULL, 
	data TEXT NOT NULL, 
	CONSTRAINT pk_receipts PRIMARY KEY (turn), 
	CONSTRAINT fk_receipts_owner_turn FOREIGN KEY(owner, turn) REFERENCES turns (owner, id) ON DELETE CASCADE
);
CREATE VIRTUAL TABLE documents_words USING fts5(
            words, content='documents', content_rowid='number', detail='none', prefix='2 3 4 5 6',
            tokenize="ascii tokenchars ':'"
        );
CREATE TRIGGER documents_words_insert AFTER INSERT ON documents BEGIN INSERT INTO documents_words (rowid, words) VALUES (new.number, new.words); END;
CREATE TRIGGER documents_words_delete AFTER DELETE ON documents BEGIN 
        INSERT INTO documents_words (documents_words, rowid, words) VALUES ('delete', old.number, old.words);
     END;
CREATE TRIGGER documents_words_update AFTER UPDATE OF number, words ON documents BEGIN 
        INSERT INTO documents_words (documents_words, rowid, words) VALUES ('delete', old.number, old.words);
    INSERT INTO documents_words (rowid, words) VALUES (new.number, new.words); END;
CREATE TABLE sign_ins (
	"key" TEXT NOT NULL, 
	owner TEXT NOT NULL, 
	name TEXT NOT NULL, 
	sealed TEXT NOT NULL, 
	begun DATETIME NOT NULL, 
	used DATETIME NOT NULL, 
	ends DATETIME NOT NULL, tokens TEXT, leased DATETIME, 
	CONSTRAINT pk_sign_ins PRIMARY KEY ("key")
);
CREATE INDEX ix_sign_ins_owner ON sign_ins (owner);
CREATE INDEX ix_sign_ins_ends ON sign_ins (ends);
CREATE TABLE spent_states (
	hash TEXT NOT NULL, 
	ends DATETIME NOT NULL, 
	CONSTRAINT pk_spent_states PRIMARY KEY (hash)
);
CREATE INDEX ix_spent_states_ends ON spent_states (ends);
CREATE TABLE onlookers (
	turn TEXT NOT NULL, 
	owner TEXT NOT NULL, 
	until DATETIME NOT NULL, 
	stop BOOLEAN NOT NULL, 
	CONSTRAINT pk_onlookers PRIMARY KEY (turn), 
	CONSTRAINT fk_onlookers_owner_turn FOREIGN KEY(owner, turn) REFERENCES turns (owner, id) ON DELETE CASCADE
);
CREATE INDEX ix_onlookers_until ON onlookers (until);
CREATE TABLE served_since (
	version TEXT NOT NULL, 
	CONSTRAINT pk_served_since PRIMARY KEY (version)
);
CREATE TABLE spent (
	owner TEXT NOT NULL, 
	hour BIGINT NOT NULL, 
	tokens DOUBLE NOT NULL, 
	cost DOUBLE NOT NULL, 
	CONSTRAINT pk_spent PRIMARY KEY (owner, hour)
);
CREATE INDEX ix_spent_hour ON spent (hour);
CREATE TABLE allowances (
	"key" TEXT NOT NULL, 
	taken DOUBLE NOT NULL, 
	since DATETIME NOT NULL, 
	held TEXT NOT NULL, 
	CONSTRAINT pk_allowances PRIMARY KEY ("key")
);
CREATE INDEX ix_allowances_since ON allowances (since);
INSERT INTO alembic_version VALUES ('0007');
INSERT INTO served_since VALUES ('0003');
