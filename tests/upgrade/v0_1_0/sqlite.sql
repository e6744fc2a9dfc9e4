BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0003');
CREATE TABLE bookmakers (
	bookmaker TEXT NOT NULL, 
	first_seen_at BIGINT NOT NULL, 
	PRIMARY KEY (bookmaker)
);
INSERT INTO "bookmakers" VALUES('alpha',1795634915463358);
INSERT INTO "bookmakers" VALUES('bravo',1795634915463358);
INSERT INTO "bookmakers" VALUES('cedar',1795634915463358);
CREATE TABLE dead_letters (
	letter_id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	epoch TEXT NOT NULL, 
	revision BIGINT NOT NULL, 
	reason TEXT NOT NULL, 
	kept_at BIGINT NOT NULL, 
	attempts INTEGER NOT NULL, 
	letter BLOB NOT NULL
);
CREATE TABLE epochs (
	place INTEGER NOT NULL, 
	epoch TEXT NOT NULL, 
	first_revision BIGINT NOT NULL, 
	opened_at BIGINT NOT NULL, 
	PRIMARY KEY (place), 
	UNIQUE (epoch)
);
INSERT INTO "epochs" VALUES(1,'0de8cfe80c1d4088a2524b1074b678a9',1,1795634915277010);
INSERT INTO "epochs" VALUES(2,'08de075fff9d41b4899c2a2d90a5d22e',58,1795634916635334);
CREATE TABLE event_sources (
	event_id TEXT NOT NULL, 
	source TEXT NOT NULL, 
	source_event_id TEXT NOT NULL, 
	listing TEXT, shown TEXT, match_score SMALLINT DEFAULT '0' NOT NULL, match_reason TEXT DEFAULT '' NOT NULL, 
	PRIMARY KEY (event_id, source)
);
INSERT INTO "event_sources" VALUES('toa:00000000000000000000000000000000','the-odds-api','00000000000000000000000000000000','soccer_league','{"sport":"soccer","competition":"soccer_league","home":"Harbour Town","away":"Mill Rovers","start_time":"2026-11-29T15:00:00Z","first_start":"2026-11-29T15:00:00Z","shared_ids":{"toa":"00000000000000000000000000000000"}}',0,'');
INSERT INTO "event_sources" VALUES('toa:00000000000000000000000000000001','the-odds-api','00000000000000000000000000000001','soccer_league','{"sport":"soccer","competition":"soccer_league","home":"Castle Park","away":"Northgate","start_time":"2026-11-29T18:00:00Z","first_start":"2026-11-29T17:00:00Z","shared_ids":{"toa":"00000000000000000000000000000001"}}',0,'');
INSERT INTO "event_sources" VALUES('toa:00000000000000000000000000000002','the-odds-api','00000000000000000000000000000002','soccer_league','{"sport":"soccer","competition":"soccer_league","home":"Eastfield","away":"Quarry Lane","start_time":"2026-11-29T19:00:00Z","first_start":"2026-11-29T19:00:00Z","shared_ids":{"toa":"00000000000000000000000000000002"}}',0,'');
CREATE TABLE events (
	event_id TEXT NOT NULL, 
	event TEXT NOT NULL, 
	sport TEXT NOT NULL, 
	competition TEXT NOT NULL, 
	start_time BIGINT NOT NULL, 
	status SMALLINT NOT NULL, 
	revision BIGINT NOT NULL, 
	ended_revision BIGINT NOT NULL, 
	PRIMARY KEY (event_id)
);
INSERT INTO "events" VALUES('toa:00000000000000000000000000000000','{"id":"toa:00000000000000000000000000000000","sport":"soccer","competition":"soccer_league","home":"Harbour Town","away":"Mill Rovers","start_time":"2026-11-29T15:00:00Z","status":1,"source_ids":{"the-odds-api":"00000000000000000000000000000000"},"merged_into":""}','soccer','soccer_league',1795964400000000,1,1,0);
INSERT INTO "events" VALUES('toa:00000000000000000000000000000001','{"id":"toa:00000000000000000000000000000001","sport":"soccer","competition":"soccer_league","home":"Castle Park","away":"Northgate","start_time":"2026-11-29T18:00:00Z","status":1,"source_ids":{"the-odds-api":"00000000000000000000000000000001"},"merged_into":""}','soccer','soccer_league',1795975200000000,1,49,0);
INSERT INTO "events" VALUES('toa:00000000000000000000000000000002','{"id":"toa:00000000000000000000000000000002","sport":"soccer","competition":"soccer_league","home":"Eastfield","away":"Quarry Lane","start_time":"2026-11-29T19:00:00Z","status":1,"source_ids":{"the-odds-api":"00000000000000000000000000000002"},"merged_into":""}','soccer','soccer_league',1795978800000000,1,36,0);
CREATE TABLE feed_state (
	one INTEGER NOT NULL, 
	database_id TEXT NOT NULL, 
	epoch TEXT NOT NULL, 
	durable_revision BIGINT NOT NULL, 
	floor_revision BIGINT NOT NULL, 
	floor_at BIGINT, 
	detected_at BIGINT, 
	PRIMARY KEY (one), 
	CHECK (one = 1)
);
INSERT INTO "feed_state" VALUES(1,'e4655f76adaf4a2ebf34cb410e20dadc','08de075fff9d41b4899c2a2d90a5d22e',94,0,NULL,1795634917317957);
CREATE TABLE odds_current (
	event_id TEXT NOT NULL, 
	source TEXT NOT NULL, 
	bookmaker TEXT NOT NULL, 
	market TEXT NOT NULL, 
	line TEXT NOT NULL, 
	participant TEXT NOT NULL, 
	status SMALLINT NOT NULL, 
	odds TEXT NOT NULL, 
	changed_at BIGINT NOT NULL, 
	revision BIGINT NOT NULL, 
	snapshot_id BIGINT NOT NULL, 
	PRIMARY KEY (event_id, source, bookmaker, market, line, participant)
)
 WITHOUT ROWID

;
INSERT INTO "odds_current" VALUES('toa:00000000000000000000000000000000','the-odds-api','alpha','double_chance','','',1,'[1,[["Draw or Mill Rovers","Draw or Mill Rovers",1.66,true],["Harbour Town or Draw","Harbour Town or Draw",1.3,true],["Harbour Town or Mill Rovers","Harbour Town or Mill Rovers",1.28,true]]]',1795634915463358,2,2);
INSERT INTO "odds_current" VALUES('toa:00000000000000000000000000000000','the-odds-api','alpha','h2h','','',1,'[1,[["home","Harbour Town",2.2,true],["draw","Draw",3.3,true],["away","Mill Rovers",3.3,true]]]',1795634917317257,85,85);
INSERT INTO "odds_current" VALUES('toa:00000000000000000000000000000000','the-odds-api','alpha','totals','2.5','',3,'[3,[]]',1795634916909211,59,58);
INSERT INTO "odds_current" VALUES('toa:00000000000000000000000000000000','the-odds-api','alpha','totals','3','',1,'[1,[["over","Over",1.95,true],["under","Under",1.92,true]]]',1795634917317257,86,85);
INSERT INTO "odds_current" VALUES('toa:00000000000000000000000000000000','the-odds-api','bravo','double_chance','','',1,'[1,[["Draw or Mill Rovers","Draw or Mill Rovers",1.66,true],["Harbour Town or Draw","Harbour Town or Draw",1.3,true],["Harbour Town or Mill Rovers","Harbour Town or Mill Rovers",1.28,true]]]',1795634915463358,5,5);
INSERT INTO "odds_current" VALUES('toa:00000000000000000000000000000000','the-odds-api','bravo','h2h','','',1,'[1,[["home","Harbour Town",2.1,true],["draw","Draw",3.3,true],["away","Mill Rovers",3.4,true]]]',1795634915463358,6,5);
INSERT INTO "odds_current" VALUES('toa:00000000000000000000000000000000','the-odds-api','bravo','totals','2.5','',1,'[1,[["over","Over",1.9,true],["under","Under",1.92,true]]]',1795634915463358,7,5);
INSERT INTO "odds_current" VALUES('toa:00000000000000000000000000000000','the-odds-api','cedar','h2h','','',1,'[1,[["home","Harbour Town",2.1,true],["draw","Draw",3.3,true],["away","Mill Rovers",3.4,true]]]',1795634917317257,87,87);
INSERT INTO "odds_current" VALUES('toa:00000000000000000000000000000000','the-odds-api','cedar','totals','2.5','',1,'[1,[["over","Over",1.9,true],["under","Under",1.92,true]]]',1795634917317257,88,87);
INSERT INTO "odds_current" VALUES('toa:00000000000000000000000000000001','the-odds-api','alpha','double_chance','','',1,'[1,[["Castle Park or Draw","Castle Park or Draw",1.3,true],["Castle Park or Northgate","Castle Park or Northgate",1.28,true],["Draw or Northgate","Draw or Northgate",1.66,true]]]',1795634915463358,11,11);
INSERT INTO "odds_current" VALUES('toa:00000000000000000000000000000001','the-odds-api','alpha','h2h','','',1,'[1,[["home","Castle Park",2.1,true],["draw","Draw",3.3,true],["away","Northgate",3.4,true]]]',1795634917317257,89,89);
INSERT INTO "odds_current" VALUES('toa:00000000000000000000000000000001','the-odds-api','alpha','totals','2.5','',3,'[3,[]]',1795634916909211,64,63);
INSERT INTO "odds_current" VALUES('toa:00000000000000000000000000000001','the-odds-api','alpha','totals','3','',1,'[1,[["over","Over",1.9,true],["under","Under",1.92,true]]]',1795634917317257,90,89);
INSERT INTO "odds_current" VALUES('toa:00000000000000000000000000000001','the-odds-api','bravo','double_chance','','',1,'[1,[["Castle Park or Draw","Castle Park or Draw",1.3,true],["Castle Park or Northgate","Castle Park or Northgate",1.28,true],["Draw or Northgate","Draw or Northgate",1.66,true]]]',1795634915463358,14,14);
INSERT INTO "odds_current" VALUES('toa:00000000000000000000000000000001','the-odds-api','bravo','h2h','','',1,'[1,[["home","Castle Park",2.1,true],["draw","Draw",3.3,true],["away","Northgate",3.4,true]]]',1795634915463358,15,14);
INSERT INTO "odds_current" VALUES('toa:00000000000000000000000000000001','the-odds-api','bravo','totals','2.5','',1,'[1,[["over","Over",1.9,true],["under","Under",1.92,true]]]',1795634915463358,16,14);
INSERT INTO "odds_current" VALUES('toa:00000000000000000000000000000001','the-odds-api','cedar','h2h','','',3,'[3,[]]',1795634917113284,79,79);
INSERT INTO "odds_current" VALUES('toa:00000000000000000000000000000001','the-odds-api','cedar','totals','2.5','',3,'[3,[]]',1795634917113284,80,79);
INSERT INTO "odds_current" VALUES('toa:00000000000000000000000000000002','the-odds-api','alpha','double_chance','','',1,'[1,[["Draw or Quarry Lane","Draw or Quarry Lane",1.66,true],["Eastfield or Draw","Eastfield or Draw",1.3,true],["Eastfield or Quarry Lane","Eastfield or Quarry Lane",1.28,true]]]',1795634915855826,37,37);
INSERT INTO "odds_current" VALUES('toa:00000000000000000000000000000002','the-odds-api','alpha','h2h','','',1,'[1,[["home","Eastfield",2.2,true],["draw","Draw",3.3,true],["away","Quarry Lane",3.3,true]]]',1795634917317257,91,91);
INSERT INTO "odds_current" VALUES('toa:00000000000000000000000000000002','the-odds-api','alpha','totals','2.5','',3,'[3,[]]',1795634916909211,69,68);
INSERT INTO "odds_current" VALUES('toa:00000000000000000000000000000002','the-odds-api','alpha','totals','3','',1,'[1,[["over","Over",1.95,true],["under","Under",1.92,true]]]',1795634917317257,92,91);
INSERT INTO "odds_current" VALUES('toa:00000000000000000000000000000002','the-odds-api','bravo','double_chance','','',1,'[1,[["Draw or Quarry Lane","Draw or Quarry Lane",1.66,true],["Eastfield or Draw","Eastfield or Draw",1.3,true],["Eastfield or Quarry Lane","Eastfield or Quarry Lane",1.28,true]]]',1795634915855826,40,40);
INSERT INTO "odds_current" VALUES('toa:00000000000000000000000000000002','the-odds-api','bravo','h2h','','',1,'[1,[["home","Eastfield",2.1,true],["draw","Draw",3.3,true],["away","Quarry Lane",3.4,true]]]',1795634915855826,41,40);
INSERT INTO "odds_current" VALUES('toa:00000000000000000000000000000002','the-odds-api','bravo','totals','2.5','',1,'[1,[["over","Over",1.9,true],["under","Under",1.92,true]]]',1795634915855826,42,40);
INSERT INTO "odds_current" VALUES('toa:00000000000000000000000000000002','the-odds-api','cedar','h2h','','',1,'[1,[["home","Eastfield",2.1,true],["draw","Draw",3.3,true],["away","Quarry Lane",3.4,true]]]',1795634917317257,93,93);
INSERT INTO "odds_current" VALUES('toa:00000000000000000000000000000002','the-odds-api','cedar','totals','2.5','',1,'[1,[["over","Over",1.9,true],["under","Under",1.92,true]]]',1795634917317257,94,93);
CREATE TABLE odds_history (
	revision INTEGER NOT NULL, 
	detected_at BIGINT NOT NULL, 
	kind SMALLINT NOT NULL, 
	reason TEXT NOT NULL, 
	event_id TEXT NOT NULL, 
	source TEXT NOT NULL, 
	bookmaker TEXT NOT NULL, 
	market TEXT NOT NULL, 
	line TEXT NOT NULL, 
	participant TEXT NOT NULL, 
	status SMALLINT, 
	snapshot_id BIGINT, 
	observed_at BIGINT NOT NULL, 
	"before" TEXT, 
	"after" TEXT, 
	other_line TEXT, 
	ended BLOB, 
	PRIMARY KEY (revision)
);
INSERT INTO "odds_history" VALUES(1,1795634915469510,6,'','toa:00000000000000000000000000000000','the-odds-api','','','','',NULL,NULL,1795634915463358,NULL,'{"id":"toa:00000000000000000000000000000000","sport":"soccer","competition":"soccer_league","home":"Harbour Town","away":"Mill Rovers","start_time":"2026-11-29T15:00:00Z","status":1,"source_ids":{"the-odds-api":"00000000000000000000000000000000"},"merged_into":""}',NULL,NULL);
INSERT INTO "odds_history" VALUES(2,1795634915469510,1,'','toa:00000000000000000000000000000000','the-odds-api','alpha','double_chance','','',1,2,1795634915463358,NULL,'[1,[["Draw or Mill Rovers","Draw or Mill Rovers",1.66,true],["Harbour Town or Draw","Harbour Town or Draw",1.3,true],["Harbour Town or Mill Rovers","Harbour Town or Mill Rovers",1.28,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(3,1795634915469510,1,'','toa:00000000000000000000000000000000','the-odds-api','alpha','h2h','','',1,2,1795634915463358,NULL,'[1,[["home","Harbour Town",2.1,true],["draw","Draw",3.3,true],["away","Mill Rovers",3.4,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(4,1795634915469510,1,'','toa:00000000000000000000000000000000','the-odds-api','alpha','totals','2.5','',1,2,1795634915463358,NULL,'[1,[["over","Over",1.9,true],["under","Under",1.92,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(5,1795634915469510,1,'','toa:00000000000000000000000000000000','the-odds-api','bravo','double_chance','','',1,5,1795634915463358,NULL,'[1,[["Draw or Mill Rovers","Draw or Mill Rovers",1.66,true],["Harbour Town or Draw","Harbour Town or Draw",1.3,true],["Harbour Town or Mill Rovers","Harbour Town or Mill Rovers",1.28,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(6,1795634915469510,1,'','toa:00000000000000000000000000000000','the-odds-api','bravo','h2h','','',1,5,1795634915463358,NULL,'[1,[["home","Harbour Town",2.1,true],["draw","Draw",3.3,true],["away","Mill Rovers",3.4,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(7,1795634915469510,1,'','toa:00000000000000000000000000000000','the-odds-api','bravo','totals','2.5','',1,5,1795634915463358,NULL,'[1,[["over","Over",1.9,true],["under","Under",1.92,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(8,1795634915469510,1,'','toa:00000000000000000000000000000000','the-odds-api','cedar','h2h','','',1,8,1795634915463358,NULL,'[1,[["home","Harbour Town",2.2,true],["draw","Draw",3.3,true],["away","Mill Rovers",3.3,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(9,1795634915469510,1,'','toa:00000000000000000000000000000000','the-odds-api','cedar','totals','2.5','',1,8,1795634915463358,NULL,'[1,[["over","Over",1.95,true],["under","Under",1.92,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(10,1795634915469510,6,'','toa:00000000000000000000000000000001','the-odds-api','','','','',NULL,NULL,1795634915463358,NULL,'{"id":"toa:00000000000000000000000000000001","sport":"soccer","competition":"soccer_league","home":"Castle Park","away":"Northgate","start_time":"2026-11-29T17:00:00Z","status":1,"source_ids":{"the-odds-api":"00000000000000000000000000000001"},"merged_into":""}',NULL,NULL);
INSERT INTO "odds_history" VALUES(11,1795634915469510,1,'','toa:00000000000000000000000000000001','the-odds-api','alpha','double_chance','','',1,11,1795634915463358,NULL,'[1,[["Castle Park or Draw","Castle Park or Draw",1.3,true],["Castle Park or Northgate","Castle Park or Northgate",1.28,true],["Draw or Northgate","Draw or Northgate",1.66,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(12,1795634915469510,1,'','toa:00000000000000000000000000000001','the-odds-api','alpha','h2h','','',1,11,1795634915463358,NULL,'[1,[["home","Castle Park",2.1,true],["draw","Draw",3.3,true],["away","Northgate",3.4,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(13,1795634915469510,1,'','toa:00000000000000000000000000000001','the-odds-api','alpha','totals','2.5','',1,11,1795634915463358,NULL,'[1,[["over","Over",1.9,true],["under","Under",1.92,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(14,1795634915469510,1,'','toa:00000000000000000000000000000001','the-odds-api','bravo','double_chance','','',1,14,1795634915463358,NULL,'[1,[["Castle Park or Draw","Castle Park or Draw",1.3,true],["Castle Park or Northgate","Castle Park or Northgate",1.28,true],["Draw or Northgate","Draw or Northgate",1.66,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(15,1795634915469510,1,'','toa:00000000000000000000000000000001','the-odds-api','bravo','h2h','','',1,14,1795634915463358,NULL,'[1,[["home","Castle Park",2.1,true],["draw","Draw",3.3,true],["away","Northgate",3.4,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(16,1795634915469510,1,'','toa:00000000000000000000000000000001','the-odds-api','bravo','totals','2.5','',1,14,1795634915463358,NULL,'[1,[["over","Over",1.9,true],["under","Under",1.92,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(17,1795634915469510,1,'','toa:00000000000000000000000000000001','the-odds-api','cedar','h2h','','',1,17,1795634915463358,NULL,'[1,[["home","Castle Park",2.2,true],["draw","Draw",3.3,true],["away","Northgate",3.3,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(18,1795634915469510,1,'','toa:00000000000000000000000000000001','the-odds-api','cedar','totals','2.5','',1,17,1795634915463358,NULL,'[1,[["over","Over",1.95,true],["under","Under",1.92,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(19,1795634915469510,9,'','','the-odds-api','','','','',NULL,NULL,1795634915469510,'{"source":"the-odds-api","interval_s":0.2,"paces":[[null,0.2]],"status":2,"announced":null,"last_success_at":null,"watched_since":null,"consecutive_failures":0,"reason":"starting","quota_left":null}','{"source":"the-odds-api","interval_s":0.2,"paces":[[null,0.2]],"status":1,"announced":1,"last_success_at":"2026-11-25T19:28:35.463358Z","watched_since":null,"consecutive_failures":0,"reason":"","quota_left":null}',NULL,NULL);
INSERT INTO "odds_history" VALUES(20,1795634915651705,2,'','toa:00000000000000000000000000000000','the-odds-api','alpha','h2h','','',1,20,1795634915651174,'[1,[["home","Harbour Town",2.1,true],["draw","Draw",3.3,true],["away","Mill Rovers",3.4,true]],null,"2026-11-25T19:28:35.463358Z",3]','[1,[["home","Harbour Town",2.15,true],["draw","Draw",3.3,true],["away","Mill Rovers",3.35,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(21,1795634915651705,2,'','toa:00000000000000000000000000000000','the-odds-api','alpha','totals','2.5','',1,20,1795634915651174,'[1,[["over","Over",1.9,true],["under","Under",1.92,true]],null,"2026-11-25T19:28:35.463358Z",4]','[1,[["over","Over",1.925,true],["under","Under",1.92,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(22,1795634915651705,2,'','toa:00000000000000000000000000000000','the-odds-api','cedar','h2h','','',1,22,1795634915651174,'[1,[["home","Harbour Town",2.2,true],["draw","Draw",3.3,true],["away","Mill Rovers",3.3,true]],null,"2026-11-25T19:28:35.463358Z",8]','[1,[["home","Harbour Town",2.25,true],["draw","Draw",3.3,true],["away","Mill Rovers",3.25,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(23,1795634915651705,2,'','toa:00000000000000000000000000000000','the-odds-api','cedar','totals','2.5','',1,22,1795634915651174,'[1,[["over","Over",1.95,true],["under","Under",1.92,true]],null,"2026-11-25T19:28:35.463358Z",9]','[1,[["over","Over",1.975,true],["under","Under",1.92,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(24,1795634915651705,2,'','toa:00000000000000000000000000000001','the-odds-api','alpha','h2h','','',1,24,1795634915651174,'[1,[["home","Castle Park",2.1,true],["draw","Draw",3.3,true],["away","Northgate",3.4,true]],null,"2026-11-25T19:28:35.463358Z",12]','[1,[["home","Castle Park",2.2,true],["draw","Draw",3.3,true],["away","Northgate",3.3,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(25,1795634915651705,2,'','toa:00000000000000000000000000000001','the-odds-api','alpha','totals','2.5','',1,24,1795634915651174,'[1,[["over","Over",1.9,true],["under","Under",1.92,true]],null,"2026-11-25T19:28:35.463358Z",13]','[1,[["over","Over",1.95,true],["under","Under",1.92,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(26,1795634915651705,2,'','toa:00000000000000000000000000000001','the-odds-api','cedar','h2h','','',1,26,1795634915651174,'[1,[["home","Castle Park",2.2,true],["draw","Draw",3.3,true],["away","Northgate",3.3,true]],null,"2026-11-25T19:28:35.463358Z",17]','[1,[["home","Castle Park",2.1,true],["draw","Draw",3.3,true],["away","Northgate",3.4,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(27,1795634915651705,2,'','toa:00000000000000000000000000000001','the-odds-api','cedar','totals','2.5','',1,26,1795634915651174,'[1,[["over","Over",1.95,true],["under","Under",1.92,true]],null,"2026-11-25T19:28:35.463358Z",18]','[1,[["over","Over",1.9,true],["under","Under",1.92,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(28,1795634915856363,2,'','toa:00000000000000000000000000000000','the-odds-api','alpha','h2h','','',1,28,1795634915855826,'[1,[["home","Harbour Town",2.15,true],["draw","Draw",3.3,true],["away","Mill Rovers",3.35,true]],null,"2026-11-25T19:28:35.651174Z",20]','[1,[["home","Harbour Town",2.2,true],["draw","Draw",3.3,true],["away","Mill Rovers",3.3,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(29,1795634915856363,2,'','toa:00000000000000000000000000000000','the-odds-api','alpha','totals','2.5','',1,28,1795634915855826,'[1,[["over","Over",1.925,true],["under","Under",1.92,true]],null,"2026-11-25T19:28:35.651174Z",21]','[1,[["over","Over",1.95,true],["under","Under",1.92,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(30,1795634915856363,2,'','toa:00000000000000000000000000000000','the-odds-api','cedar','h2h','','',1,30,1795634915855826,'[1,[["home","Harbour Town",2.25,true],["draw","Draw",3.3,true],["away","Mill Rovers",3.25,true]],null,"2026-11-25T19:28:35.651174Z",22]','[1,[["home","Harbour Town",2.1,true],["draw","Draw",3.3,true],["away","Mill Rovers",3.4,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(31,1795634915856363,2,'','toa:00000000000000000000000000000000','the-odds-api','cedar','totals','2.5','',1,30,1795634915855826,'[1,[["over","Over",1.975,true],["under","Under",1.92,true]],null,"2026-11-25T19:28:35.651174Z",23]','[1,[["over","Over",1.9,true],["under","Under",1.92,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(32,1795634915856363,2,'','toa:00000000000000000000000000000001','the-odds-api','alpha','h2h','','',1,32,1795634915855826,'[1,[["home","Castle Park",2.2,true],["draw","Draw",3.3,true],["away","Northgate",3.3,true]],null,"2026-11-25T19:28:35.651174Z",24]','[1,[["home","Castle Park",2.1,true],["draw","Draw",3.3,true],["away","Northgate",3.4,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(33,1795634915856363,2,'','toa:00000000000000000000000000000001','the-odds-api','alpha','totals','2.5','',1,32,1795634915855826,'[1,[["over","Over",1.95,true],["under","Under",1.92,true]],null,"2026-11-25T19:28:35.651174Z",25]','[1,[["over","Over",1.9,true],["under","Under",1.92,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(34,1795634915856363,2,'','toa:00000000000000000000000000000001','the-odds-api','cedar','h2h','','',1,34,1795634915855826,'[1,[["home","Castle Park",2.1,true],["draw","Draw",3.3,true],["away","Northgate",3.4,true]],null,"2026-11-25T19:28:35.651174Z",26]','[1,[["home","Castle Park",2.2,true],["draw","Draw",3.3,true],["away","Northgate",3.3,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(35,1795634915856363,2,'','toa:00000000000000000000000000000001','the-odds-api','cedar','totals','2.5','',1,34,1795634915855826,'[1,[["over","Over",1.9,true],["under","Under",1.92,true]],null,"2026-11-25T19:28:35.651174Z",27]','[1,[["over","Over",1.95,true],["under","Under",1.92,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(36,1795634915856363,6,'','toa:00000000000000000000000000000002','the-odds-api','','','','',NULL,NULL,1795634915855826,NULL,'{"id":"toa:00000000000000000000000000000002","sport":"soccer","competition":"soccer_league","home":"Eastfield","away":"Quarry Lane","start_time":"2026-11-29T19:00:00Z","status":1,"source_ids":{"the-odds-api":"00000000000000000000000000000002"},"merged_into":""}',NULL,NULL);
INSERT INTO "odds_history" VALUES(37,1795634915856363,1,'','toa:00000000000000000000000000000002','the-odds-api','alpha','double_chance','','',1,37,1795634915855826,NULL,'[1,[["Draw or Quarry Lane","Draw or Quarry Lane",1.66,true],["Eastfield or Draw","Eastfield or Draw",1.3,true],["Eastfield or Quarry Lane","Eastfield or Quarry Lane",1.28,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(38,1795634915856363,1,'','toa:00000000000000000000000000000002','the-odds-api','alpha','h2h','','',1,37,1795634915855826,NULL,'[1,[["home","Eastfield",2.2,true],["draw","Draw",3.3,true],["away","Quarry Lane",3.3,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(39,1795634915856363,1,'','toa:00000000000000000000000000000002','the-odds-api','alpha','totals','2.5','',1,37,1795634915855826,NULL,'[1,[["over","Over",1.95,true],["under","Under",1.92,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(40,1795634915856363,1,'','toa:00000000000000000000000000000002','the-odds-api','bravo','double_chance','','',1,40,1795634915855826,NULL,'[1,[["Draw or Quarry Lane","Draw or Quarry Lane",1.66,true],["Eastfield or Draw","Eastfield or Draw",1.3,true],["Eastfield or Quarry Lane","Eastfield or Quarry Lane",1.28,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(41,1795634915856363,1,'','toa:00000000000000000000000000000002','the-odds-api','bravo','h2h','','',1,40,1795634915855826,NULL,'[1,[["home","Eastfield",2.1,true],["draw","Draw",3.3,true],["away","Quarry Lane",3.4,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(42,1795634915856363,1,'','toa:00000000000000000000000000000002','the-odds-api','bravo','totals','2.5','',1,40,1795634915855826,NULL,'[1,[["over","Over",1.9,true],["under","Under",1.92,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(43,1795634915856363,1,'','toa:00000000000000000000000000000002','the-odds-api','cedar','h2h','','',1,43,1795634915855826,NULL,'[1,[["home","Eastfield",2.1,true],["draw","Draw",3.3,true],["away","Quarry Lane",3.4,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(44,1795634915856363,1,'','toa:00000000000000000000000000000002','the-odds-api','cedar','totals','2.5','',1,43,1795634915855826,NULL,'[1,[["over","Over",1.9,true],["under","Under",1.92,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(45,1795634916053273,2,'','toa:00000000000000000000000000000000','the-odds-api','alpha','h2h','','',1,45,1795634916052738,'[1,[["home","Harbour Town",2.2,true],["draw","Draw",3.3,true],["away","Mill Rovers",3.3,true]],null,"2026-11-25T19:28:35.855826Z",28]','[1,[["home","Harbour Town",2.25,true],["draw","Draw",3.3,true],["away","Mill Rovers",3.25,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(46,1795634916053273,2,'','toa:00000000000000000000000000000000','the-odds-api','alpha','totals','2.5','',1,45,1795634916052738,'[1,[["over","Over",1.95,true],["under","Under",1.92,true]],null,"2026-11-25T19:28:35.855826Z",29]','[1,[["over","Over",1.975,true],["under","Under",1.92,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(47,1795634916053273,2,'','toa:00000000000000000000000000000000','the-odds-api','cedar','h2h','','',1,47,1795634916052738,'[1,[["home","Harbour Town",2.1,true],["draw","Draw",3.3,true],["away","Mill Rovers",3.4,true]],null,"2026-11-25T19:28:35.855826Z",30]','[1,[["home","Harbour Town",2.15,true],["draw","Draw",3.3,true],["away","Mill Rovers",3.35,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(48,1795634916053273,2,'','toa:00000000000000000000000000000000','the-odds-api','cedar','totals','2.5','',1,47,1795634916052738,'[1,[["over","Over",1.9,true],["under","Under",1.92,true]],null,"2026-11-25T19:28:35.855826Z",31]','[1,[["over","Over",1.925,true],["under","Under",1.92,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(49,1795634916053273,7,'start_moved','toa:00000000000000000000000000000001','the-odds-api','','','','',NULL,NULL,1795634916052738,'{"id":"toa:00000000000000000000000000000001","sport":"soccer","competition":"soccer_league","home":"Castle Park","away":"Northgate","start_time":"2026-11-29T17:00:00Z","status":1,"source_ids":{"the-odds-api":"00000000000000000000000000000001"},"merged_into":""}','{"id":"toa:00000000000000000000000000000001","sport":"soccer","competition":"soccer_league","home":"Castle Park","away":"Northgate","start_time":"2026-11-29T18:00:00Z","status":1,"source_ids":{"the-odds-api":"00000000000000000000000000000001"},"merged_into":""}',NULL,NULL);
INSERT INTO "odds_history" VALUES(50,1795634916053273,2,'','toa:00000000000000000000000000000001','the-odds-api','alpha','h2h','','',1,50,1795634916052738,'[1,[["home","Castle Park",2.1,true],["draw","Draw",3.3,true],["away","Northgate",3.4,true]],null,"2026-11-25T19:28:35.855826Z",32]','[1,[["home","Castle Park",2.2,true],["draw","Draw",3.3,true],["away","Northgate",3.3,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(51,1795634916053273,2,'','toa:00000000000000000000000000000001','the-odds-api','alpha','totals','2.5','',1,50,1795634916052738,'[1,[["over","Over",1.9,true],["under","Under",1.92,true]],null,"2026-11-25T19:28:35.855826Z",33]','[1,[["over","Over",1.95,true],["under","Under",1.92,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(52,1795634916053273,2,'','toa:00000000000000000000000000000001','the-odds-api','cedar','h2h','','',1,52,1795634916052738,'[1,[["home","Castle Park",2.2,true],["draw","Draw",3.3,true],["away","Northgate",3.3,true]],null,"2026-11-25T19:28:35.855826Z",34]','[1,[["home","Castle Park",2.1,true],["draw","Draw",3.3,true],["away","Northgate",3.4,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(53,1795634916053273,2,'','toa:00000000000000000000000000000001','the-odds-api','cedar','totals','2.5','',1,52,1795634916052738,'[1,[["over","Over",1.95,true],["under","Under",1.92,true]],null,"2026-11-25T19:28:35.855826Z",35]','[1,[["over","Over",1.9,true],["under","Under",1.92,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(54,1795634916053273,2,'','toa:00000000000000000000000000000002','the-odds-api','alpha','h2h','','',1,54,1795634916052738,'[1,[["home","Eastfield",2.2,true],["draw","Draw",3.3,true],["away","Quarry Lane",3.3,true]],null,"2026-11-25T19:28:35.855826Z",38]','[1,[["home","Eastfield",2.15,true],["draw","Draw",3.3,true],["away","Quarry Lane",3.35,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(55,1795634916053273,2,'','toa:00000000000000000000000000000002','the-odds-api','alpha','totals','2.5','',1,54,1795634916052738,'[1,[["over","Over",1.95,true],["under","Under",1.92,true]],null,"2026-11-25T19:28:35.855826Z",39]','[1,[["over","Over",1.925,true],["under","Under",1.92,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(56,1795634916053273,2,'','toa:00000000000000000000000000000002','the-odds-api','cedar','h2h','','',1,56,1795634916052738,'[1,[["home","Eastfield",2.1,true],["draw","Draw",3.3,true],["away","Quarry Lane",3.4,true]],null,"2026-11-25T19:28:35.855826Z",43]','[1,[["home","Eastfield",2.25,true],["draw","Draw",3.3,true],["away","Quarry Lane",3.25,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(57,1795634916053273,2,'','toa:00000000000000000000000000000002','the-odds-api','cedar','totals','2.5','',1,56,1795634916052738,'[1,[["over","Over",1.9,true],["under","Under",1.92,true]],null,"2026-11-25T19:28:35.855826Z",44]','[1,[["over","Over",1.975,true],["under","Under",1.92,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(58,1795634916909749,2,'','toa:00000000000000000000000000000000','the-odds-api','alpha','h2h','','',1,58,1795634916909211,'[1,[["home","Harbour Town",2.25,true],["draw","Draw",3.3,true],["away","Mill Rovers",3.25,true]],null,"2026-11-25T19:28:36.052738Z",45]','[1,[["home","Harbour Town",2.1,true],["draw","Draw",3.3,true],["away","Mill Rovers",3.4,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(59,1795634916909749,5,'line_moved','toa:00000000000000000000000000000000','the-odds-api','alpha','totals','2.5','',3,58,1795634916909211,'[1,[["over","Over",1.975,true],["under","Under",1.92,true]],null,"2026-11-25T19:28:36.052738Z",46]','[3,[]]','3',NULL);
INSERT INTO "odds_history" VALUES(60,1795634916909749,1,'line_moved','toa:00000000000000000000000000000000','the-odds-api','alpha','totals','3','',1,58,1795634916909211,NULL,'[1,[["over","Over",1.9,true],["under","Under",1.92,true]]]','2.5',NULL);
INSERT INTO "odds_history" VALUES(61,1795634916909749,2,'','toa:00000000000000000000000000000000','the-odds-api','cedar','h2h','','',1,61,1795634916909211,'[1,[["home","Harbour Town",2.15,true],["draw","Draw",3.3,true],["away","Mill Rovers",3.35,true]],null,"2026-11-25T19:28:36.052738Z",47]','[1,[["home","Harbour Town",2.2,true],["draw","Draw",3.3,true],["away","Mill Rovers",3.3,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(62,1795634916909749,2,'','toa:00000000000000000000000000000000','the-odds-api','cedar','totals','2.5','',1,61,1795634916909211,'[1,[["over","Over",1.925,true],["under","Under",1.92,true]],null,"2026-11-25T19:28:36.052738Z",48]','[1,[["over","Over",1.95,true],["under","Under",1.92,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(63,1795634916909749,2,'','toa:00000000000000000000000000000001','the-odds-api','alpha','h2h','','',1,63,1795634916909211,'[1,[["home","Castle Park",2.2,true],["draw","Draw",3.3,true],["away","Northgate",3.3,true]],null,"2026-11-25T19:28:36.052738Z",50]','[1,[["home","Castle Park",2.1,true],["draw","Draw",3.3,true],["away","Northgate",3.4,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(64,1795634916909749,5,'line_moved','toa:00000000000000000000000000000001','the-odds-api','alpha','totals','2.5','',3,63,1795634916909211,'[1,[["over","Over",1.95,true],["under","Under",1.92,true]],null,"2026-11-25T19:28:36.052738Z",51]','[3,[]]','3',NULL);
INSERT INTO "odds_history" VALUES(65,1795634916909749,1,'line_moved','toa:00000000000000000000000000000001','the-odds-api','alpha','totals','3','',1,63,1795634916909211,NULL,'[1,[["over","Over",1.9,true],["under","Under",1.92,true]]]','2.5',NULL);
INSERT INTO "odds_history" VALUES(66,1795634916909749,2,'','toa:00000000000000000000000000000001','the-odds-api','cedar','h2h','','',1,66,1795634916909211,'[1,[["home","Castle Park",2.1,true],["draw","Draw",3.3,true],["away","Northgate",3.4,true]],null,"2026-11-25T19:28:36.052738Z",52]','[1,[["home","Castle Park",2.2,true],["draw","Draw",3.3,true],["away","Northgate",3.3,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(67,1795634916909749,2,'','toa:00000000000000000000000000000001','the-odds-api','cedar','totals','2.5','',1,66,1795634916909211,'[1,[["over","Over",1.9,true],["under","Under",1.92,true]],null,"2026-11-25T19:28:36.052738Z",53]','[1,[["over","Over",1.95,true],["under","Under",1.92,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(68,1795634916909749,2,'','toa:00000000000000000000000000000002','the-odds-api','alpha','h2h','','',1,68,1795634916909211,'[1,[["home","Eastfield",2.15,true],["draw","Draw",3.3,true],["away","Quarry Lane",3.35,true]],null,"2026-11-25T19:28:36.052738Z",54]','[1,[["home","Eastfield",2.1,true],["draw","Draw",3.3,true],["away","Quarry Lane",3.4,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(69,1795634916909749,5,'line_moved','toa:00000000000000000000000000000002','the-odds-api','alpha','totals','2.5','',3,68,1795634916909211,'[1,[["over","Over",1.925,true],["under","Under",1.92,true]],null,"2026-11-25T19:28:36.052738Z",55]','[3,[]]','3',NULL);
INSERT INTO "odds_history" VALUES(70,1795634916909749,1,'line_moved','toa:00000000000000000000000000000002','the-odds-api','alpha','totals','3','',1,68,1795634916909211,NULL,'[1,[["over","Over",1.9,true],["under","Under",1.92,true]]]','2.5',NULL);
INSERT INTO "odds_history" VALUES(71,1795634916909749,2,'','toa:00000000000000000000000000000002','the-odds-api','cedar','h2h','','',1,71,1795634916909211,'[1,[["home","Eastfield",2.25,true],["draw","Draw",3.3,true],["away","Quarry Lane",3.25,true]],null,"2026-11-25T19:28:36.052738Z",56]','[1,[["home","Eastfield",2.2,true],["draw","Draw",3.3,true],["away","Quarry Lane",3.3,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(72,1795634916909749,2,'','toa:00000000000000000000000000000002','the-odds-api','cedar','totals','2.5','',1,71,1795634916909211,'[1,[["over","Over",1.975,true],["under","Under",1.92,true]],null,"2026-11-25T19:28:36.052738Z",57]','[1,[["over","Over",1.95,true],["under","Under",1.92,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(73,1795634917113854,2,'','toa:00000000000000000000000000000000','the-odds-api','alpha','h2h','','',1,73,1795634917113284,'[1,[["home","Harbour Town",2.1,true],["draw","Draw",3.3,true],["away","Mill Rovers",3.4,true]],null,"2026-11-25T19:28:36.909211Z",58]','[1,[["home","Harbour Town",2.15,true],["draw","Draw",3.3,true],["away","Mill Rovers",3.35,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(74,1795634917113854,2,'','toa:00000000000000000000000000000000','the-odds-api','alpha','totals','3','',1,73,1795634917113284,'[1,[["over","Over",1.9,true],["under","Under",1.92,true]],null,"2026-11-25T19:28:36.909211Z",60]','[1,[["over","Over",1.925,true],["under","Under",1.92,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(75,1795634917113854,2,'','toa:00000000000000000000000000000000','the-odds-api','cedar','h2h','','',1,75,1795634917113284,'[1,[["home","Harbour Town",2.2,true],["draw","Draw",3.3,true],["away","Mill Rovers",3.3,true]],null,"2026-11-25T19:28:36.909211Z",61]','[1,[["home","Harbour Town",2.25,true],["draw","Draw",3.3,true],["away","Mill Rovers",3.25,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(76,1795634917113854,2,'','toa:00000000000000000000000000000000','the-odds-api','cedar','totals','2.5','',1,75,1795634917113284,'[1,[["over","Over",1.95,true],["under","Under",1.92,true]],null,"2026-11-25T19:28:36.909211Z",62]','[1,[["over","Over",1.975,true],["under","Under",1.92,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(77,1795634917113854,2,'','toa:00000000000000000000000000000001','the-odds-api','alpha','h2h','','',1,77,1795634917113284,'[1,[["home","Castle Park",2.1,true],["draw","Draw",3.3,true],["away","Northgate",3.4,true]],null,"2026-11-25T19:28:36.909211Z",63]','[1,[["home","Castle Park",2.2,true],["draw","Draw",3.3,true],["away","Northgate",3.3,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(78,1795634917113854,2,'','toa:00000000000000000000000000000001','the-odds-api','alpha','totals','3','',1,77,1795634917113284,'[1,[["over","Over",1.9,true],["under","Under",1.92,true]],null,"2026-11-25T19:28:36.909211Z",65]','[1,[["over","Over",1.95,true],["under","Under",1.92,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(79,1795634917113854,5,'source_removed','toa:00000000000000000000000000000001','the-odds-api','cedar','h2h','','',3,79,1795634917113284,'[1,[["home","Castle Park",2.2,true],["draw","Draw",3.3,true],["away","Northgate",3.3,true]],null,"2026-11-25T19:28:36.909211Z",66]','[3,[]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(80,1795634917113854,5,'source_removed','toa:00000000000000000000000000000001','the-odds-api','cedar','totals','2.5','',3,79,1795634917113284,'[1,[["over","Over",1.95,true],["under","Under",1.92,true]],null,"2026-11-25T19:28:36.909211Z",67]','[3,[]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(81,1795634917113854,2,'','toa:00000000000000000000000000000002','the-odds-api','alpha','h2h','','',1,81,1795634917113284,'[1,[["home","Eastfield",2.1,true],["draw","Draw",3.3,true],["away","Quarry Lane",3.4,true]],null,"2026-11-25T19:28:36.909211Z",68]','[1,[["home","Eastfield",2.25,true],["draw","Draw",3.3,true],["away","Quarry Lane",3.25,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(82,1795634917113854,2,'','toa:00000000000000000000000000000002','the-odds-api','alpha','totals','3','',1,81,1795634917113284,'[1,[["over","Over",1.9,true],["under","Under",1.92,true]],null,"2026-11-25T19:28:36.909211Z",70]','[1,[["over","Over",1.975,true],["under","Under",1.92,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(83,1795634917113854,2,'','toa:00000000000000000000000000000002','the-odds-api','cedar','h2h','','',1,83,1795634917113284,'[1,[["home","Eastfield",2.2,true],["draw","Draw",3.3,true],["away","Quarry Lane",3.3,true]],null,"2026-11-25T19:28:36.909211Z",71]','[1,[["home","Eastfield",2.15,true],["draw","Draw",3.3,true],["away","Quarry Lane",3.35,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(84,1795634917113854,2,'','toa:00000000000000000000000000000002','the-odds-api','cedar','totals','2.5','',1,83,1795634917113284,'[1,[["over","Over",1.95,true],["under","Under",1.92,true]],null,"2026-11-25T19:28:36.909211Z",72]','[1,[["over","Over",1.925,true],["under","Under",1.92,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(85,1795634917317957,2,'','toa:00000000000000000000000000000000','the-odds-api','alpha','h2h','','',1,85,1795634917317257,'[1,[["home","Harbour Town",2.15,true],["draw","Draw",3.3,true],["away","Mill Rovers",3.35,true]],null,"2026-11-25T19:28:37.113284Z",73]','[1,[["home","Harbour Town",2.2,true],["draw","Draw",3.3,true],["away","Mill Rovers",3.3,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(86,1795634917317957,2,'','toa:00000000000000000000000000000000','the-odds-api','alpha','totals','3','',1,85,1795634917317257,'[1,[["over","Over",1.925,true],["under","Under",1.92,true]],null,"2026-11-25T19:28:37.113284Z",74]','[1,[["over","Over",1.95,true],["under","Under",1.92,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(87,1795634917317957,2,'','toa:00000000000000000000000000000000','the-odds-api','cedar','h2h','','',1,87,1795634917317257,'[1,[["home","Harbour Town",2.25,true],["draw","Draw",3.3,true],["away","Mill Rovers",3.25,true]],null,"2026-11-25T19:28:37.113284Z",75]','[1,[["home","Harbour Town",2.1,true],["draw","Draw",3.3,true],["away","Mill Rovers",3.4,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(88,1795634917317957,2,'','toa:00000000000000000000000000000000','the-odds-api','cedar','totals','2.5','',1,87,1795634917317257,'[1,[["over","Over",1.975,true],["under","Under",1.92,true]],null,"2026-11-25T19:28:37.113284Z",76]','[1,[["over","Over",1.9,true],["under","Under",1.92,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(89,1795634917317957,2,'','toa:00000000000000000000000000000001','the-odds-api','alpha','h2h','','',1,89,1795634917317257,'[1,[["home","Castle Park",2.2,true],["draw","Draw",3.3,true],["away","Northgate",3.3,true]],null,"2026-11-25T19:28:37.113284Z",77]','[1,[["home","Castle Park",2.1,true],["draw","Draw",3.3,true],["away","Northgate",3.4,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(90,1795634917317957,2,'','toa:00000000000000000000000000000001','the-odds-api','alpha','totals','3','',1,89,1795634917317257,'[1,[["over","Over",1.95,true],["under","Under",1.92,true]],null,"2026-11-25T19:28:37.113284Z",78]','[1,[["over","Over",1.9,true],["under","Under",1.92,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(91,1795634917317957,2,'','toa:00000000000000000000000000000002','the-odds-api','alpha','h2h','','',1,91,1795634917317257,'[1,[["home","Eastfield",2.25,true],["draw","Draw",3.3,true],["away","Quarry Lane",3.25,true]],null,"2026-11-25T19:28:37.113284Z",81]','[1,[["home","Eastfield",2.2,true],["draw","Draw",3.3,true],["away","Quarry Lane",3.3,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(92,1795634917317957,2,'','toa:00000000000000000000000000000002','the-odds-api','alpha','totals','3','',1,91,1795634917317257,'[1,[["over","Over",1.975,true],["under","Under",1.92,true]],null,"2026-11-25T19:28:37.113284Z",82]','[1,[["over","Over",1.95,true],["under","Under",1.92,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(93,1795634917317957,2,'','toa:00000000000000000000000000000002','the-odds-api','cedar','h2h','','',1,93,1795634917317257,'[1,[["home","Eastfield",2.15,true],["draw","Draw",3.3,true],["away","Quarry Lane",3.35,true]],null,"2026-11-25T19:28:37.113284Z",83]','[1,[["home","Eastfield",2.1,true],["draw","Draw",3.3,true],["away","Quarry Lane",3.4,true]]]',NULL,NULL);
INSERT INTO "odds_history" VALUES(94,1795634917317957,2,'','toa:00000000000000000000000000000002','the-odds-api','cedar','totals','2.5','',1,93,1795634917317257,'[1,[["over","Over",1.925,true],["under","Under",1.92,true]],null,"2026-11-25T19:28:37.113284Z",84]','[1,[["over","Over",1.9,true],["under","Under",1.92,true]]]',NULL,NULL);
CREATE TABLE scrape_runs (
	started_at BIGINT NOT NULL, 
	source TEXT NOT NULL, 
	listing TEXT NOT NULL, 
	finished_at BIGINT NOT NULL, 
	outcome TEXT NOT NULL, 
	reason TEXT NOT NULL, 
	events INTEGER NOT NULL, 
	markets INTEGER NOT NULL, 
	changes INTEGER NOT NULL, 
	problems TEXT NOT NULL, 
	PRIMARY KEY (started_at, source, listing)
);
INSERT INTO "scrape_runs" VALUES(1795634915448378,'the-odds-api','soccer_league',1795634915463358,'complete','',2,16,19,'{}');
INSERT INTO "scrape_runs" VALUES(1795634915647745,'the-odds-api','soccer_league',1795634915651174,'complete','',2,16,8,'{}');
INSERT INTO "scrape_runs" VALUES(1795634915852722,'the-odds-api','soccer_league',1795634915855826,'complete','',3,24,17,'{}');
INSERT INTO "scrape_runs" VALUES(1795634916049624,'the-odds-api','soccer_league',1795634916052738,'complete','',3,24,13,'{}');
INSERT INTO "scrape_runs" VALUES(1795634916251759,'the-odds-api','soccer_league',1795634916254418,'complete','',3,24,0,'{}');
INSERT INTO "scrape_runs" VALUES(1795634916704495,'the-odds-api','soccer_league',1795634916710927,'complete','',3,24,0,'{}');
INSERT INTO "scrape_runs" VALUES(1795634916906807,'the-odds-api','soccer_league',1795634916909211,'complete','',3,24,15,'{}');
INSERT INTO "scrape_runs" VALUES(1795634917110401,'the-odds-api','soccer_league',1795634917113284,'complete','',3,22,12,'{}');
INSERT INTO "scrape_runs" VALUES(1795634917312528,'the-odds-api','soccer_league',1795634917317257,'complete','',3,22,10,'{}');
INSERT INTO "scrape_runs" VALUES(1795634917515573,'the-odds-api','soccer_league',1795634917530040,'complete','',3,22,0,'{}');
CREATE TABLE snapshots (
	snapshot_id INTEGER NOT NULL, 
	event_id TEXT NOT NULL, 
	source TEXT NOT NULL, 
	bookmaker TEXT NOT NULL, 
	observed_at BIGINT NOT NULL, 
	confirmed_at BIGINT NOT NULL, 
	source_updated_at BIGINT, 
	PRIMARY KEY (snapshot_id)
);
INSERT INTO "snapshots" VALUES(2,'toa:00000000000000000000000000000000','the-odds-api','alpha',1795634915463358,1795634915463358,1795579800000000);
INSERT INTO "snapshots" VALUES(5,'toa:00000000000000000000000000000000','the-odds-api','bravo',1795634917530040,1795634917530040,1795580160000000);
INSERT INTO "snapshots" VALUES(8,'toa:00000000000000000000000000000000','the-odds-api','cedar',1795634915463358,1795634915463358,1795579800000000);
INSERT INTO "snapshots" VALUES(11,'toa:00000000000000000000000000000001','the-odds-api','alpha',1795634915463358,1795634915463358,1795579800000000);
INSERT INTO "snapshots" VALUES(14,'toa:00000000000000000000000000000001','the-odds-api','bravo',1795634917530040,1795634917530040,1795580160000000);
INSERT INTO "snapshots" VALUES(17,'toa:00000000000000000000000000000001','the-odds-api','cedar',1795634915463358,1795634915463358,1795579800000000);
INSERT INTO "snapshots" VALUES(20,'toa:00000000000000000000000000000000','the-odds-api','alpha',1795634915651174,1795634915651174,1795579860000000);
INSERT INTO "snapshots" VALUES(22,'toa:00000000000000000000000000000000','the-odds-api','cedar',1795634915651174,1795634915651174,1795579860000000);
INSERT INTO "snapshots" VALUES(24,'toa:00000000000000000000000000000001','the-odds-api','alpha',1795634915651174,1795634915651174,1795579860000000);
INSERT INTO "snapshots" VALUES(26,'toa:00000000000000000000000000000001','the-odds-api','cedar',1795634915651174,1795634915651174,1795579860000000);
INSERT INTO "snapshots" VALUES(28,'toa:00000000000000000000000000000000','the-odds-api','alpha',1795634915855826,1795634915855826,1795579920000000);
INSERT INTO "snapshots" VALUES(30,'toa:00000000000000000000000000000000','the-odds-api','cedar',1795634915855826,1795634915855826,1795579920000000);
INSERT INTO "snapshots" VALUES(32,'toa:00000000000000000000000000000001','the-odds-api','alpha',1795634915855826,1795634915855826,1795579920000000);
INSERT INTO "snapshots" VALUES(34,'toa:00000000000000000000000000000001','the-odds-api','cedar',1795634915855826,1795634915855826,1795579920000000);
INSERT INTO "snapshots" VALUES(37,'toa:00000000000000000000000000000002','the-odds-api','alpha',1795634915855826,1795634915855826,1795579920000000);
INSERT INTO "snapshots" VALUES(40,'toa:00000000000000000000000000000002','the-odds-api','bravo',1795634917530040,1795634917530040,1795580160000000);
INSERT INTO "snapshots" VALUES(43,'toa:00000000000000000000000000000002','the-odds-api','cedar',1795634915855826,1795634915855826,1795579920000000);
INSERT INTO "snapshots" VALUES(45,'toa:00000000000000000000000000000000','the-odds-api','alpha',1795634916710927,1795634916710927,1795579980000000);
INSERT INTO "snapshots" VALUES(47,'toa:00000000000000000000000000000000','the-odds-api','cedar',1795634916710927,1795634916710927,1795579980000000);
INSERT INTO "snapshots" VALUES(50,'toa:00000000000000000000000000000001','the-odds-api','alpha',1795634916710927,1795634916710927,1795579980000000);
INSERT INTO "snapshots" VALUES(52,'toa:00000000000000000000000000000001','the-odds-api','cedar',1795634916710927,1795634916710927,1795579980000000);
INSERT INTO "snapshots" VALUES(54,'toa:00000000000000000000000000000002','the-odds-api','alpha',1795634916710927,1795634916710927,1795579980000000);
INSERT INTO "snapshots" VALUES(56,'toa:00000000000000000000000000000002','the-odds-api','cedar',1795634916710927,1795634916710927,1795579980000000);
INSERT INTO "snapshots" VALUES(58,'toa:00000000000000000000000000000000','the-odds-api','alpha',1795634916909211,1795634916909211,1795580040000000);
INSERT INTO "snapshots" VALUES(61,'toa:00000000000000000000000000000000','the-odds-api','cedar',1795634916909211,1795634916909211,1795580040000000);
INSERT INTO "snapshots" VALUES(63,'toa:00000000000000000000000000000001','the-odds-api','alpha',1795634916909211,1795634916909211,1795580040000000);
INSERT INTO "snapshots" VALUES(66,'toa:00000000000000000000000000000001','the-odds-api','cedar',1795634916909211,1795634916909211,1795580040000000);
INSERT INTO "snapshots" VALUES(68,'toa:00000000000000000000000000000002','the-odds-api','alpha',1795634916909211,1795634916909211,1795580040000000);
INSERT INTO "snapshots" VALUES(71,'toa:00000000000000000000000000000002','the-odds-api','cedar',1795634916909211,1795634916909211,1795580040000000);
INSERT INTO "snapshots" VALUES(73,'toa:00000000000000000000000000000000','the-odds-api','alpha',1795634917113284,1795634917113284,1795580100000000);
INSERT INTO "snapshots" VALUES(75,'toa:00000000000000000000000000000000','the-odds-api','cedar',1795634917113284,1795634917113284,1795580100000000);
INSERT INTO "snapshots" VALUES(77,'toa:00000000000000000000000000000001','the-odds-api','alpha',1795634917113284,1795634917113284,1795580100000000);
INSERT INTO "snapshots" VALUES(79,'toa:00000000000000000000000000000001','the-odds-api','cedar',1795634917113284,1795634917113284,1795580040000000);
INSERT INTO "snapshots" VALUES(81,'toa:00000000000000000000000000000002','the-odds-api','alpha',1795634917113284,1795634917113284,1795580100000000);
INSERT INTO "snapshots" VALUES(83,'toa:00000000000000000000000000000002','the-odds-api','cedar',1795634917113284,1795634917113284,1795580100000000);
INSERT INTO "snapshots" VALUES(85,'toa:00000000000000000000000000000000','the-odds-api','alpha',1795634917530040,1795634917530040,1795580160000000);
INSERT INTO "snapshots" VALUES(87,'toa:00000000000000000000000000000000','the-odds-api','cedar',1795634917530040,1795634917530040,1795580160000000);
INSERT INTO "snapshots" VALUES(89,'toa:00000000000000000000000000000001','the-odds-api','alpha',1795634917530040,1795634917530040,1795580160000000);
INSERT INTO "snapshots" VALUES(91,'toa:00000000000000000000000000000002','the-odds-api','alpha',1795634917530040,1795634917530040,1795580160000000);
INSERT INTO "snapshots" VALUES(93,'toa:00000000000000000000000000000002','the-odds-api','cedar',1795634917530040,1795634917530040,1795580160000000);
CREATE TABLE source_states (
	source TEXT NOT NULL, 
	state TEXT NOT NULL, 
	revision BIGINT NOT NULL, 
	PRIMARY KEY (source)
);
INSERT INTO "source_states" VALUES('the-odds-api','{"source":"the-odds-api","interval_s":0.2,"paces":[[null,0.2]],"status":1,"announced":1,"last_success_at":"2026-11-25T19:28:35.463358Z","watched_since":null,"consecutive_failures":0,"reason":"","quota_left":null}',19);
CREATE INDEX history_of_event ON odds_history (event_id);
CREATE INDEX snapshots_of_event ON snapshots (event_id);
DELETE FROM "sqlite_sequence";
COMMIT;
