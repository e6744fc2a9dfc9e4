--
-- PostgreSQL database dump
--


-- Dumped from database version 18.6
-- Dumped by pg_dump version 18.6

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET transaction_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: alembic_version; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
);


--
-- Name: bookmakers; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.bookmakers (
    bookmaker text NOT NULL,
    first_seen_at timestamp with time zone NOT NULL
);


--
-- Name: dead_letters; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.dead_letters (
    letter_id integer NOT NULL,
    epoch text NOT NULL,
    revision bigint NOT NULL,
    reason text NOT NULL,
    kept_at timestamp with time zone NOT NULL,
    attempts integer NOT NULL,
    letter bytea NOT NULL
);


--
-- Name: dead_letters_letter_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE SEQUENCE public.dead_letters_letter_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: dead_letters_letter_id_seq; Type: SEQUENCE OWNED BY; Schema: public; Owner: -
--

ALTER SEQUENCE public.dead_letters_letter_id_seq OWNED BY public.dead_letters.letter_id;


--
-- Name: epochs; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.epochs (
    place integer NOT NULL,
    epoch text NOT NULL,
    first_revision bigint NOT NULL,
    opened_at timestamp with time zone NOT NULL
);


--
-- Name: epochs_place_seq; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE SEQUENCE public.epochs_place_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: epochs_place_seq; Type: SEQUENCE OWNED BY; Schema: public; Owner: -
--

ALTER SEQUENCE public.epochs_place_seq OWNED BY public.epochs.place;


--
-- Name: event_sources; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.event_sources (
    event_id text NOT NULL,
    source text NOT NULL,
    source_event_id text NOT NULL,
    listing text,
    shown text,
    match_score smallint DEFAULT '0'::smallint NOT NULL,
    match_reason text DEFAULT ''::text NOT NULL
);


--
-- Name: events; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.events (
    event_id text NOT NULL,
    event text NOT NULL,
    sport text NOT NULL,
    competition text NOT NULL,
    start_time timestamp with time zone NOT NULL,
    status smallint NOT NULL,
    revision bigint NOT NULL,
    ended_revision bigint NOT NULL
);


--
-- Name: feed_state; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.feed_state (
    one integer NOT NULL,
    database_id text NOT NULL,
    epoch text NOT NULL,
    durable_revision bigint NOT NULL,
    floor_revision bigint NOT NULL,
    floor_at timestamp with time zone,
    detected_at timestamp with time zone,
    CONSTRAINT feed_state_one_check CHECK ((one = 1))
);


--
-- Name: feed_state_one_seq; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE SEQUENCE public.feed_state_one_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: feed_state_one_seq; Type: SEQUENCE OWNED BY; Schema: public; Owner: -
--

ALTER SEQUENCE public.feed_state_one_seq OWNED BY public.feed_state.one;


--
-- Name: odds_current; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.odds_current (
    event_id text NOT NULL,
    source text NOT NULL,
    bookmaker text NOT NULL,
    market text NOT NULL,
    line text NOT NULL,
    participant text NOT NULL,
    status smallint NOT NULL,
    odds text NOT NULL,
    changed_at timestamp with time zone NOT NULL,
    revision bigint NOT NULL,
    snapshot_id bigint NOT NULL
)
WITH (fillfactor='80');


--
-- Name: odds_history; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.odds_history (
    revision bigint NOT NULL,
    detected_at timestamp with time zone NOT NULL,
    kind smallint NOT NULL,
    reason text NOT NULL,
    event_id text NOT NULL,
    source text NOT NULL,
    bookmaker text NOT NULL,
    market text NOT NULL,
    line text NOT NULL,
    participant text NOT NULL,
    status smallint,
    snapshot_id bigint,
    observed_at timestamp with time zone NOT NULL,
    before text,
    after text,
    other_line text,
    ended bytea
)
PARTITION BY RANGE (detected_at);


--
-- Name: odds_history_p20261125; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.odds_history_p20261125 (
    revision bigint CONSTRAINT odds_history_revision_not_null NOT NULL,
    detected_at timestamp with time zone CONSTRAINT odds_history_detected_at_not_null NOT NULL,
    kind smallint CONSTRAINT odds_history_kind_not_null NOT NULL,
    reason text CONSTRAINT odds_history_reason_not_null NOT NULL,
    event_id text CONSTRAINT odds_history_event_id_not_null NOT NULL,
    source text CONSTRAINT odds_history_source_not_null NOT NULL,
    bookmaker text CONSTRAINT odds_history_bookmaker_not_null NOT NULL,
    market text CONSTRAINT odds_history_market_not_null NOT NULL,
    line text CONSTRAINT odds_history_line_not_null NOT NULL,
    participant text CONSTRAINT odds_history_participant_not_null NOT NULL,
    status smallint,
    snapshot_id bigint,
    observed_at timestamp with time zone CONSTRAINT odds_history_observed_at_not_null NOT NULL,
    before text,
    after text,
    other_line text,
    ended bytea
);


--
-- Name: odds_history_p20261126; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.odds_history_p20261126 (
    revision bigint CONSTRAINT odds_history_revision_not_null NOT NULL,
    detected_at timestamp with time zone CONSTRAINT odds_history_detected_at_not_null NOT NULL,
    kind smallint CONSTRAINT odds_history_kind_not_null NOT NULL,
    reason text CONSTRAINT odds_history_reason_not_null NOT NULL,
    event_id text CONSTRAINT odds_history_event_id_not_null NOT NULL,
    source text CONSTRAINT odds_history_source_not_null NOT NULL,
    bookmaker text CONSTRAINT odds_history_bookmaker_not_null NOT NULL,
    market text CONSTRAINT odds_history_market_not_null NOT NULL,
    line text CONSTRAINT odds_history_line_not_null NOT NULL,
    participant text CONSTRAINT odds_history_participant_not_null NOT NULL,
    status smallint,
    snapshot_id bigint,
    observed_at timestamp with time zone CONSTRAINT odds_history_observed_at_not_null NOT NULL,
    before text,
    after text,
    other_line text,
    ended bytea
);


--
-- Name: odds_history_p20261127; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.odds_history_p20261127 (
    revision bigint CONSTRAINT odds_history_revision_not_null NOT NULL,
    detected_at timestamp with time zone CONSTRAINT odds_history_detected_at_not_null NOT NULL,
    kind smallint CONSTRAINT odds_history_kind_not_null NOT NULL,
    reason text CONSTRAINT odds_history_reason_not_null NOT NULL,
    event_id text CONSTRAINT odds_history_event_id_not_null NOT NULL,
    source text CONSTRAINT odds_history_source_not_null NOT NULL,
    bookmaker text CONSTRAINT odds_history_bookmaker_not_null NOT NULL,
    market text CONSTRAINT odds_history_market_not_null NOT NULL,
    line text CONSTRAINT odds_history_line_not_null NOT NULL,
    participant text CONSTRAINT odds_history_participant_not_null NOT NULL,
    status smallint,
    snapshot_id bigint,
    observed_at timestamp with time zone CONSTRAINT odds_history_observed_at_not_null NOT NULL,
    before text,
    after text,
    other_line text,
    ended bytea
);


--
-- Name: scrape_runs; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.scrape_runs (
    started_at timestamp with time zone NOT NULL,
    source text NOT NULL,
    listing text NOT NULL,
    finished_at timestamp with time zone NOT NULL,
    outcome text NOT NULL,
    reason text NOT NULL,
    events integer NOT NULL,
    markets integer NOT NULL,
    changes integer NOT NULL,
    problems text NOT NULL
);


--
-- Name: snapshots; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.snapshots (
    snapshot_id bigint NOT NULL,
    event_id text NOT NULL,
    source text NOT NULL,
    bookmaker text NOT NULL,
    observed_at timestamp with time zone NOT NULL,
    confirmed_at timestamp with time zone NOT NULL,
    source_updated_at timestamp with time zone
)
WITH (fillfactor='80');


--
-- Name: source_states; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.source_states (
    source text NOT NULL,
    state text NOT NULL,
    revision bigint NOT NULL
);


--
-- Name: odds_history_p20261125; Type: TABLE ATTACH; Schema: public; Owner: -
--

ALTER TABLE ONLY public.odds_history ATTACH PARTITION public.odds_history_p20261125 FOR VALUES FROM ('2026-11-25 00:00:00+00') TO ('2026-11-26 00:00:00+00');


--
-- Name: odds_history_p20261126; Type: TABLE ATTACH; Schema: public; Owner: -
--

ALTER TABLE ONLY public.odds_history ATTACH PARTITION public.odds_history_p20261126 FOR VALUES FROM ('2026-11-26 00:00:00+00') TO ('2026-11-27 00:00:00+00');


--
-- Name: odds_history_p20261127; Type: TABLE ATTACH; Schema: public; Owner: -
--

ALTER TABLE ONLY public.odds_history ATTACH PARTITION public.odds_history_p20261127 FOR VALUES FROM ('2026-11-27 00:00:00+00') TO ('2026-11-28 00:00:00+00');


--
-- Name: dead_letters letter_id; Type: DEFAULT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.dead_letters ALTER COLUMN letter_id SET DEFAULT nextval('public.dead_letters_letter_id_seq'::regclass);


--
-- Name: epochs place; Type: DEFAULT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.epochs ALTER COLUMN place SET DEFAULT nextval('public.epochs_place_seq'::regclass);


--
-- Name: feed_state one; Type: DEFAULT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.feed_state ALTER COLUMN one SET DEFAULT nextval('public.feed_state_one_seq'::regclass);


--
-- Data for Name: alembic_version; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.alembic_version VALUES ('0003');


--
-- Data for Name: bookmakers; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.bookmakers VALUES ('alpha', '2026-11-25 19:28:47.40187+00');
INSERT INTO public.bookmakers VALUES ('bravo', '2026-11-25 19:28:47.40187+00');
INSERT INTO public.bookmakers VALUES ('cedar', '2026-11-25 19:28:47.40187+00');


--
-- Data for Name: dead_letters; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: epochs; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.epochs VALUES (1, '2e676068d6a44fbda47bbf94de67359f', 1, '2026-11-25 19:28:47.278366+00');
INSERT INTO public.epochs VALUES (2, '352a79aac1ea46238f4b08ed71af7c94', 58, '2026-11-25 19:28:48.544319+00');


--
-- Data for Name: event_sources; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.event_sources VALUES ('toa:00000000000000000000000000000000', 'the-odds-api', '00000000000000000000000000000000', 'soccer_league', '{"sport":"soccer","competition":"soccer_league","home":"Harbour Town","away":"Mill Rovers","start_time":"2026-11-29T15:00:00Z","first_start":"2026-11-29T15:00:00Z","shared_ids":{"toa":"00000000000000000000000000000000"}}', 0, '');
INSERT INTO public.event_sources VALUES ('toa:00000000000000000000000000000002', 'the-odds-api', '00000000000000000000000000000002', 'soccer_league', '{"sport":"soccer","competition":"soccer_league","home":"Eastfield","away":"Quarry Lane","start_time":"2026-11-29T19:00:00Z","first_start":"2026-11-29T19:00:00Z","shared_ids":{"toa":"00000000000000000000000000000002"}}', 0, '');
INSERT INTO public.event_sources VALUES ('toa:00000000000000000000000000000001', 'the-odds-api', '00000000000000000000000000000001', 'soccer_league', '{"sport":"soccer","competition":"soccer_league","home":"Castle Park","away":"Northgate","start_time":"2026-11-29T18:00:00Z","first_start":"2026-11-29T17:00:00Z","shared_ids":{"toa":"00000000000000000000000000000001"}}', 0, '');


--
-- Data for Name: events; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.events VALUES ('toa:00000000000000000000000000000000', '{"id":"toa:00000000000000000000000000000000","sport":"soccer","competition":"soccer_league","home":"Harbour Town","away":"Mill Rovers","start_time":"2026-11-29T15:00:00Z","status":1,"source_ids":{"the-odds-api":"00000000000000000000000000000000"},"merged_into":""}', 'soccer', 'soccer_league', '2026-11-29 15:00:00+00', 1, 1, 0);
INSERT INTO public.events VALUES ('toa:00000000000000000000000000000002', '{"id":"toa:00000000000000000000000000000002","sport":"soccer","competition":"soccer_league","home":"Eastfield","away":"Quarry Lane","start_time":"2026-11-29T19:00:00Z","status":1,"source_ids":{"the-odds-api":"00000000000000000000000000000002"},"merged_into":""}', 'soccer', 'soccer_league', '2026-11-29 19:00:00+00', 1, 36, 0);
INSERT INTO public.events VALUES ('toa:00000000000000000000000000000001', '{"id":"toa:00000000000000000000000000000001","sport":"soccer","competition":"soccer_league","home":"Castle Park","away":"Northgate","start_time":"2026-11-29T18:00:00Z","status":1,"source_ids":{"the-odds-api":"00000000000000000000000000000001"},"merged_into":""}', 'soccer', 'soccer_league', '2026-11-29 18:00:00+00', 1, 49, 0);


--
-- Data for Name: feed_state; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.feed_state VALUES (1, '5220457d5eef4fa388a22e1f293c1e13', '352a79aac1ea46238f4b08ed71af7c94', 94, 0, NULL, '2026-11-25 19:28:49.303089+00');


--
-- Data for Name: odds_current; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.odds_current VALUES ('toa:00000000000000000000000000000000', 'the-odds-api', 'alpha', 'double_chance', '', '', 1, '[1,[["Draw or Mill Rovers","Draw or Mill Rovers",1.66,true],["Harbour Town or Draw","Harbour Town or Draw",1.3,true],["Harbour Town or Mill Rovers","Harbour Town or Mill Rovers",1.28,true]]]', '2026-11-25 19:28:47.40187+00', 2, 2);
INSERT INTO public.odds_current VALUES ('toa:00000000000000000000000000000000', 'the-odds-api', 'bravo', 'double_chance', '', '', 1, '[1,[["Draw or Mill Rovers","Draw or Mill Rovers",1.66,true],["Harbour Town or Draw","Harbour Town or Draw",1.3,true],["Harbour Town or Mill Rovers","Harbour Town or Mill Rovers",1.28,true]]]', '2026-11-25 19:28:47.40187+00', 5, 5);
INSERT INTO public.odds_current VALUES ('toa:00000000000000000000000000000000', 'the-odds-api', 'bravo', 'h2h', '', '', 1, '[1,[["home","Harbour Town",2.1,true],["draw","Draw",3.3,true],["away","Mill Rovers",3.4,true]]]', '2026-11-25 19:28:47.40187+00', 6, 5);
INSERT INTO public.odds_current VALUES ('toa:00000000000000000000000000000000', 'the-odds-api', 'bravo', 'totals', '2.5', '', 1, '[1,[["over","Over",1.9,true],["under","Under",1.92,true]]]', '2026-11-25 19:28:47.40187+00', 7, 5);
INSERT INTO public.odds_current VALUES ('toa:00000000000000000000000000000001', 'the-odds-api', 'alpha', 'double_chance', '', '', 1, '[1,[["Castle Park or Draw","Castle Park or Draw",1.3,true],["Castle Park or Northgate","Castle Park or Northgate",1.28,true],["Draw or Northgate","Draw or Northgate",1.66,true]]]', '2026-11-25 19:28:47.40187+00', 11, 11);
INSERT INTO public.odds_current VALUES ('toa:00000000000000000000000000000001', 'the-odds-api', 'bravo', 'double_chance', '', '', 1, '[1,[["Castle Park or Draw","Castle Park or Draw",1.3,true],["Castle Park or Northgate","Castle Park or Northgate",1.28,true],["Draw or Northgate","Draw or Northgate",1.66,true]]]', '2026-11-25 19:28:47.40187+00', 14, 14);
INSERT INTO public.odds_current VALUES ('toa:00000000000000000000000000000001', 'the-odds-api', 'bravo', 'h2h', '', '', 1, '[1,[["home","Castle Park",2.1,true],["draw","Draw",3.3,true],["away","Northgate",3.4,true]]]', '2026-11-25 19:28:47.40187+00', 15, 14);
INSERT INTO public.odds_current VALUES ('toa:00000000000000000000000000000001', 'the-odds-api', 'bravo', 'totals', '2.5', '', 1, '[1,[["over","Over",1.9,true],["under","Under",1.92,true]]]', '2026-11-25 19:28:47.40187+00', 16, 14);
INSERT INTO public.odds_current VALUES ('toa:00000000000000000000000000000001', 'the-odds-api', 'cedar', 'h2h', '', '', 3, '[3,[]]', '2026-11-25 19:28:49.112783+00', 79, 79);
INSERT INTO public.odds_current VALUES ('toa:00000000000000000000000000000001', 'the-odds-api', 'cedar', 'totals', '2.5', '', 3, '[3,[]]', '2026-11-25 19:28:49.112783+00', 80, 79);
INSERT INTO public.odds_current VALUES ('toa:00000000000000000000000000000000', 'the-odds-api', 'alpha', 'h2h', '', '', 1, '[1,[["home","Harbour Town",2.2,true],["draw","Draw",3.3,true],["away","Mill Rovers",3.3,true]]]', '2026-11-25 19:28:49.302351+00', 85, 85);
INSERT INTO public.odds_current VALUES ('toa:00000000000000000000000000000002', 'the-odds-api', 'alpha', 'h2h', '', '', 1, '[1,[["home","Eastfield",2.2,true],["draw","Draw",3.3,true],["away","Quarry Lane",3.3,true]]]', '2026-11-25 19:28:49.302351+00', 91, 91);
INSERT INTO public.odds_current VALUES ('toa:00000000000000000000000000000000', 'the-odds-api', 'alpha', 'totals', '2.5', '', 3, '[3,[]]', '2026-11-25 19:28:48.909187+00', 59, 58);
INSERT INTO public.odds_current VALUES ('toa:00000000000000000000000000000001', 'the-odds-api', 'alpha', 'totals', '2.5', '', 3, '[3,[]]', '2026-11-25 19:28:48.909187+00', 64, 63);
INSERT INTO public.odds_current VALUES ('toa:00000000000000000000000000000002', 'the-odds-api', 'alpha', 'double_chance', '', '', 1, '[1,[["Draw or Quarry Lane","Draw or Quarry Lane",1.66,true],["Eastfield or Draw","Eastfield or Draw",1.3,true],["Eastfield or Quarry Lane","Eastfield or Quarry Lane",1.28,true]]]', '2026-11-25 19:28:47.792207+00', 37, 37);
INSERT INTO public.odds_current VALUES ('toa:00000000000000000000000000000002', 'the-odds-api', 'bravo', 'double_chance', '', '', 1, '[1,[["Draw or Quarry Lane","Draw or Quarry Lane",1.66,true],["Eastfield or Draw","Eastfield or Draw",1.3,true],["Eastfield or Quarry Lane","Eastfield or Quarry Lane",1.28,true]]]', '2026-11-25 19:28:47.792207+00', 40, 40);
INSERT INTO public.odds_current VALUES ('toa:00000000000000000000000000000000', 'the-odds-api', 'cedar', 'h2h', '', '', 1, '[1,[["home","Harbour Town",2.1,true],["draw","Draw",3.3,true],["away","Mill Rovers",3.4,true]]]', '2026-11-25 19:28:49.302351+00', 87, 87);
INSERT INTO public.odds_current VALUES ('toa:00000000000000000000000000000000', 'the-odds-api', 'cedar', 'totals', '2.5', '', 1, '[1,[["over","Over",1.9,true],["under","Under",1.92,true]]]', '2026-11-25 19:28:49.302351+00', 88, 87);
INSERT INTO public.odds_current VALUES ('toa:00000000000000000000000000000002', 'the-odds-api', 'alpha', 'totals', '2.5', '', 3, '[3,[]]', '2026-11-25 19:28:48.909187+00', 69, 68);
INSERT INTO public.odds_current VALUES ('toa:00000000000000000000000000000001', 'the-odds-api', 'alpha', 'h2h', '', '', 1, '[1,[["home","Castle Park",2.1,true],["draw","Draw",3.3,true],["away","Northgate",3.4,true]]]', '2026-11-25 19:28:49.302351+00', 89, 89);
INSERT INTO public.odds_current VALUES ('toa:00000000000000000000000000000002', 'the-odds-api', 'bravo', 'h2h', '', '', 1, '[1,[["home","Eastfield",2.1,true],["draw","Draw",3.3,true],["away","Quarry Lane",3.4,true]]]', '2026-11-25 19:28:47.792207+00', 41, 40);
INSERT INTO public.odds_current VALUES ('toa:00000000000000000000000000000002', 'the-odds-api', 'bravo', 'totals', '2.5', '', 1, '[1,[["over","Over",1.9,true],["under","Under",1.92,true]]]', '2026-11-25 19:28:47.792207+00', 42, 40);
INSERT INTO public.odds_current VALUES ('toa:00000000000000000000000000000000', 'the-odds-api', 'alpha', 'totals', '3', '', 1, '[1,[["over","Over",1.95,true],["under","Under",1.92,true]]]', '2026-11-25 19:28:49.302351+00', 86, 85);
INSERT INTO public.odds_current VALUES ('toa:00000000000000000000000000000001', 'the-odds-api', 'alpha', 'totals', '3', '', 1, '[1,[["over","Over",1.9,true],["under","Under",1.92,true]]]', '2026-11-25 19:28:49.302351+00', 90, 89);
INSERT INTO public.odds_current VALUES ('toa:00000000000000000000000000000002', 'the-odds-api', 'alpha', 'totals', '3', '', 1, '[1,[["over","Over",1.95,true],["under","Under",1.92,true]]]', '2026-11-25 19:28:49.302351+00', 92, 91);
INSERT INTO public.odds_current VALUES ('toa:00000000000000000000000000000002', 'the-odds-api', 'cedar', 'h2h', '', '', 1, '[1,[["home","Eastfield",2.1,true],["draw","Draw",3.3,true],["away","Quarry Lane",3.4,true]]]', '2026-11-25 19:28:49.302351+00', 93, 93);
INSERT INTO public.odds_current VALUES ('toa:00000000000000000000000000000002', 'the-odds-api', 'cedar', 'totals', '2.5', '', 1, '[1,[["over","Over",1.9,true],["under","Under",1.92,true]]]', '2026-11-25 19:28:49.302351+00', 94, 93);


--
-- Data for Name: odds_history_p20261125; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.odds_history_p20261125 VALUES (1, '2026-11-25 19:28:47.407608+00', 6, '', 'toa:00000000000000000000000000000000', 'the-odds-api', '', '', '', '', NULL, NULL, '2026-11-25 19:28:47.40187+00', NULL, '{"id":"toa:00000000000000000000000000000000","sport":"soccer","competition":"soccer_league","home":"Harbour Town","away":"Mill Rovers","start_time":"2026-11-29T15:00:00Z","status":1,"source_ids":{"the-odds-api":"00000000000000000000000000000000"},"merged_into":""}', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (2, '2026-11-25 19:28:47.407608+00', 1, '', 'toa:00000000000000000000000000000000', 'the-odds-api', 'alpha', 'double_chance', '', '', 1, 2, '2026-11-25 19:28:47.40187+00', NULL, '[1,[["Draw or Mill Rovers","Draw or Mill Rovers",1.66,true],["Harbour Town or Draw","Harbour Town or Draw",1.3,true],["Harbour Town or Mill Rovers","Harbour Town or Mill Rovers",1.28,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (3, '2026-11-25 19:28:47.407608+00', 1, '', 'toa:00000000000000000000000000000000', 'the-odds-api', 'alpha', 'h2h', '', '', 1, 2, '2026-11-25 19:28:47.40187+00', NULL, '[1,[["home","Harbour Town",2.1,true],["draw","Draw",3.3,true],["away","Mill Rovers",3.4,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (4, '2026-11-25 19:28:47.407608+00', 1, '', 'toa:00000000000000000000000000000000', 'the-odds-api', 'alpha', 'totals', '2.5', '', 1, 2, '2026-11-25 19:28:47.40187+00', NULL, '[1,[["over","Over",1.9,true],["under","Under",1.92,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (5, '2026-11-25 19:28:47.407608+00', 1, '', 'toa:00000000000000000000000000000000', 'the-odds-api', 'bravo', 'double_chance', '', '', 1, 5, '2026-11-25 19:28:47.40187+00', NULL, '[1,[["Draw or Mill Rovers","Draw or Mill Rovers",1.66,true],["Harbour Town or Draw","Harbour Town or Draw",1.3,true],["Harbour Town or Mill Rovers","Harbour Town or Mill Rovers",1.28,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (6, '2026-11-25 19:28:47.407608+00', 1, '', 'toa:00000000000000000000000000000000', 'the-odds-api', 'bravo', 'h2h', '', '', 1, 5, '2026-11-25 19:28:47.40187+00', NULL, '[1,[["home","Harbour Town",2.1,true],["draw","Draw",3.3,true],["away","Mill Rovers",3.4,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (7, '2026-11-25 19:28:47.407608+00', 1, '', 'toa:00000000000000000000000000000000', 'the-odds-api', 'bravo', 'totals', '2.5', '', 1, 5, '2026-11-25 19:28:47.40187+00', NULL, '[1,[["over","Over",1.9,true],["under","Under",1.92,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (8, '2026-11-25 19:28:47.407608+00', 1, '', 'toa:00000000000000000000000000000000', 'the-odds-api', 'cedar', 'h2h', '', '', 1, 8, '2026-11-25 19:28:47.40187+00', NULL, '[1,[["home","Harbour Town",2.2,true],["draw","Draw",3.3,true],["away","Mill Rovers",3.3,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (9, '2026-11-25 19:28:47.407608+00', 1, '', 'toa:00000000000000000000000000000000', 'the-odds-api', 'cedar', 'totals', '2.5', '', 1, 8, '2026-11-25 19:28:47.40187+00', NULL, '[1,[["over","Over",1.95,true],["under","Under",1.92,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (10, '2026-11-25 19:28:47.407608+00', 6, '', 'toa:00000000000000000000000000000001', 'the-odds-api', '', '', '', '', NULL, NULL, '2026-11-25 19:28:47.40187+00', NULL, '{"id":"toa:00000000000000000000000000000001","sport":"soccer","competition":"soccer_league","home":"Castle Park","away":"Northgate","start_time":"2026-11-29T17:00:00Z","status":1,"source_ids":{"the-odds-api":"00000000000000000000000000000001"},"merged_into":""}', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (11, '2026-11-25 19:28:47.407608+00', 1, '', 'toa:00000000000000000000000000000001', 'the-odds-api', 'alpha', 'double_chance', '', '', 1, 11, '2026-11-25 19:28:47.40187+00', NULL, '[1,[["Castle Park or Draw","Castle Park or Draw",1.3,true],["Castle Park or Northgate","Castle Park or Northgate",1.28,true],["Draw or Northgate","Draw or Northgate",1.66,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (12, '2026-11-25 19:28:47.407608+00', 1, '', 'toa:00000000000000000000000000000001', 'the-odds-api', 'alpha', 'h2h', '', '', 1, 11, '2026-11-25 19:28:47.40187+00', NULL, '[1,[["home","Castle Park",2.1,true],["draw","Draw",3.3,true],["away","Northgate",3.4,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (13, '2026-11-25 19:28:47.407608+00', 1, '', 'toa:00000000000000000000000000000001', 'the-odds-api', 'alpha', 'totals', '2.5', '', 1, 11, '2026-11-25 19:28:47.40187+00', NULL, '[1,[["over","Over",1.9,true],["under","Under",1.92,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (14, '2026-11-25 19:28:47.407608+00', 1, '', 'toa:00000000000000000000000000000001', 'the-odds-api', 'bravo', 'double_chance', '', '', 1, 14, '2026-11-25 19:28:47.40187+00', NULL, '[1,[["Castle Park or Draw","Castle Park or Draw",1.3,true],["Castle Park or Northgate","Castle Park or Northgate",1.28,true],["Draw or Northgate","Draw or Northgate",1.66,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (15, '2026-11-25 19:28:47.407608+00', 1, '', 'toa:00000000000000000000000000000001', 'the-odds-api', 'bravo', 'h2h', '', '', 1, 14, '2026-11-25 19:28:47.40187+00', NULL, '[1,[["home","Castle Park",2.1,true],["draw","Draw",3.3,true],["away","Northgate",3.4,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (16, '2026-11-25 19:28:47.407608+00', 1, '', 'toa:00000000000000000000000000000001', 'the-odds-api', 'bravo', 'totals', '2.5', '', 1, 14, '2026-11-25 19:28:47.40187+00', NULL, '[1,[["over","Over",1.9,true],["under","Under",1.92,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (17, '2026-11-25 19:28:47.407608+00', 1, '', 'toa:00000000000000000000000000000001', 'the-odds-api', 'cedar', 'h2h', '', '', 1, 17, '2026-11-25 19:28:47.40187+00', NULL, '[1,[["home","Castle Park",2.2,true],["draw","Draw",3.3,true],["away","Northgate",3.3,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (18, '2026-11-25 19:28:47.407608+00', 1, '', 'toa:00000000000000000000000000000001', 'the-odds-api', 'cedar', 'totals', '2.5', '', 1, 17, '2026-11-25 19:28:47.40187+00', NULL, '[1,[["over","Over",1.95,true],["under","Under",1.92,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (19, '2026-11-25 19:28:47.407608+00', 9, '', '', 'the-odds-api', '', '', '', '', NULL, NULL, '2026-11-25 19:28:47.407608+00', '{"source":"the-odds-api","interval_s":0.2,"paces":[[null,0.2]],"status":2,"announced":null,"last_success_at":null,"watched_since":null,"consecutive_failures":0,"reason":"starting","quota_left":null}', '{"source":"the-odds-api","interval_s":0.2,"paces":[[null,0.2]],"status":1,"announced":1,"last_success_at":"2026-11-25T19:28:47.401870Z","watched_since":null,"consecutive_failures":0,"reason":"","quota_left":null}', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (20, '2026-11-25 19:28:47.599154+00', 2, '', 'toa:00000000000000000000000000000000', 'the-odds-api', 'alpha', 'h2h', '', '', 1, 20, '2026-11-25 19:28:47.596976+00', '[1,[["home","Harbour Town",2.1,true],["draw","Draw",3.3,true],["away","Mill Rovers",3.4,true]],null,"2026-11-25T19:28:47.401870Z",3]', '[1,[["home","Harbour Town",2.15,true],["draw","Draw",3.3,true],["away","Mill Rovers",3.35,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (21, '2026-11-25 19:28:47.599154+00', 2, '', 'toa:00000000000000000000000000000000', 'the-odds-api', 'alpha', 'totals', '2.5', '', 1, 20, '2026-11-25 19:28:47.596976+00', '[1,[["over","Over",1.9,true],["under","Under",1.92,true]],null,"2026-11-25T19:28:47.401870Z",4]', '[1,[["over","Over",1.925,true],["under","Under",1.92,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (22, '2026-11-25 19:28:47.599154+00', 2, '', 'toa:00000000000000000000000000000000', 'the-odds-api', 'cedar', 'h2h', '', '', 1, 22, '2026-11-25 19:28:47.596976+00', '[1,[["home","Harbour Town",2.2,true],["draw","Draw",3.3,true],["away","Mill Rovers",3.3,true]],null,"2026-11-25T19:28:47.401870Z",8]', '[1,[["home","Harbour Town",2.25,true],["draw","Draw",3.3,true],["away","Mill Rovers",3.25,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (23, '2026-11-25 19:28:47.599154+00', 2, '', 'toa:00000000000000000000000000000000', 'the-odds-api', 'cedar', 'totals', '2.5', '', 1, 22, '2026-11-25 19:28:47.596976+00', '[1,[["over","Over",1.95,true],["under","Under",1.92,true]],null,"2026-11-25T19:28:47.401870Z",9]', '[1,[["over","Over",1.975,true],["under","Under",1.92,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (24, '2026-11-25 19:28:47.599154+00', 2, '', 'toa:00000000000000000000000000000001', 'the-odds-api', 'alpha', 'h2h', '', '', 1, 24, '2026-11-25 19:28:47.596976+00', '[1,[["home","Castle Park",2.1,true],["draw","Draw",3.3,true],["away","Northgate",3.4,true]],null,"2026-11-25T19:28:47.401870Z",12]', '[1,[["home","Castle Park",2.2,true],["draw","Draw",3.3,true],["away","Northgate",3.3,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (25, '2026-11-25 19:28:47.599154+00', 2, '', 'toa:00000000000000000000000000000001', 'the-odds-api', 'alpha', 'totals', '2.5', '', 1, 24, '2026-11-25 19:28:47.596976+00', '[1,[["over","Over",1.9,true],["under","Under",1.92,true]],null,"2026-11-25T19:28:47.401870Z",13]', '[1,[["over","Over",1.95,true],["under","Under",1.92,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (26, '2026-11-25 19:28:47.599154+00', 2, '', 'toa:00000000000000000000000000000001', 'the-odds-api', 'cedar', 'h2h', '', '', 1, 26, '2026-11-25 19:28:47.596976+00', '[1,[["home","Castle Park",2.2,true],["draw","Draw",3.3,true],["away","Northgate",3.3,true]],null,"2026-11-25T19:28:47.401870Z",17]', '[1,[["home","Castle Park",2.1,true],["draw","Draw",3.3,true],["away","Northgate",3.4,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (27, '2026-11-25 19:28:47.599154+00', 2, '', 'toa:00000000000000000000000000000001', 'the-odds-api', 'cedar', 'totals', '2.5', '', 1, 26, '2026-11-25 19:28:47.596976+00', '[1,[["over","Over",1.95,true],["under","Under",1.92,true]],null,"2026-11-25T19:28:47.401870Z",18]', '[1,[["over","Over",1.9,true],["under","Under",1.92,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (28, '2026-11-25 19:28:47.792905+00', 2, '', 'toa:00000000000000000000000000000000', 'the-odds-api', 'alpha', 'h2h', '', '', 1, 28, '2026-11-25 19:28:47.792207+00', '[1,[["home","Harbour Town",2.15,true],["draw","Draw",3.3,true],["away","Mill Rovers",3.35,true]],null,"2026-11-25T19:28:47.596976Z",20]', '[1,[["home","Harbour Town",2.2,true],["draw","Draw",3.3,true],["away","Mill Rovers",3.3,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (29, '2026-11-25 19:28:47.792905+00', 2, '', 'toa:00000000000000000000000000000000', 'the-odds-api', 'alpha', 'totals', '2.5', '', 1, 28, '2026-11-25 19:28:47.792207+00', '[1,[["over","Over",1.925,true],["under","Under",1.92,true]],null,"2026-11-25T19:28:47.596976Z",21]', '[1,[["over","Over",1.95,true],["under","Under",1.92,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (30, '2026-11-25 19:28:47.792905+00', 2, '', 'toa:00000000000000000000000000000000', 'the-odds-api', 'cedar', 'h2h', '', '', 1, 30, '2026-11-25 19:28:47.792207+00', '[1,[["home","Harbour Town",2.25,true],["draw","Draw",3.3,true],["away","Mill Rovers",3.25,true]],null,"2026-11-25T19:28:47.596976Z",22]', '[1,[["home","Harbour Town",2.1,true],["draw","Draw",3.3,true],["away","Mill Rovers",3.4,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (31, '2026-11-25 19:28:47.792905+00', 2, '', 'toa:00000000000000000000000000000000', 'the-odds-api', 'cedar', 'totals', '2.5', '', 1, 30, '2026-11-25 19:28:47.792207+00', '[1,[["over","Over",1.975,true],["under","Under",1.92,true]],null,"2026-11-25T19:28:47.596976Z",23]', '[1,[["over","Over",1.9,true],["under","Under",1.92,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (32, '2026-11-25 19:28:47.792905+00', 2, '', 'toa:00000000000000000000000000000001', 'the-odds-api', 'alpha', 'h2h', '', '', 1, 32, '2026-11-25 19:28:47.792207+00', '[1,[["home","Castle Park",2.2,true],["draw","Draw",3.3,true],["away","Northgate",3.3,true]],null,"2026-11-25T19:28:47.596976Z",24]', '[1,[["home","Castle Park",2.1,true],["draw","Draw",3.3,true],["away","Northgate",3.4,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (33, '2026-11-25 19:28:47.792905+00', 2, '', 'toa:00000000000000000000000000000001', 'the-odds-api', 'alpha', 'totals', '2.5', '', 1, 32, '2026-11-25 19:28:47.792207+00', '[1,[["over","Over",1.95,true],["under","Under",1.92,true]],null,"2026-11-25T19:28:47.596976Z",25]', '[1,[["over","Over",1.9,true],["under","Under",1.92,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (34, '2026-11-25 19:28:47.792905+00', 2, '', 'toa:00000000000000000000000000000001', 'the-odds-api', 'cedar', 'h2h', '', '', 1, 34, '2026-11-25 19:28:47.792207+00', '[1,[["home","Castle Park",2.1,true],["draw","Draw",3.3,true],["away","Northgate",3.4,true]],null,"2026-11-25T19:28:47.596976Z",26]', '[1,[["home","Castle Park",2.2,true],["draw","Draw",3.3,true],["away","Northgate",3.3,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (35, '2026-11-25 19:28:47.792905+00', 2, '', 'toa:00000000000000000000000000000001', 'the-odds-api', 'cedar', 'totals', '2.5', '', 1, 34, '2026-11-25 19:28:47.792207+00', '[1,[["over","Over",1.9,true],["under","Under",1.92,true]],null,"2026-11-25T19:28:47.596976Z",27]', '[1,[["over","Over",1.95,true],["under","Under",1.92,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (36, '2026-11-25 19:28:47.792905+00', 6, '', 'toa:00000000000000000000000000000002', 'the-odds-api', '', '', '', '', NULL, NULL, '2026-11-25 19:28:47.792207+00', NULL, '{"id":"toa:00000000000000000000000000000002","sport":"soccer","competition":"soccer_league","home":"Eastfield","away":"Quarry Lane","start_time":"2026-11-29T19:00:00Z","status":1,"source_ids":{"the-odds-api":"00000000000000000000000000000002"},"merged_into":""}', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (37, '2026-11-25 19:28:47.792905+00', 1, '', 'toa:00000000000000000000000000000002', 'the-odds-api', 'alpha', 'double_chance', '', '', 1, 37, '2026-11-25 19:28:47.792207+00', NULL, '[1,[["Draw or Quarry Lane","Draw or Quarry Lane",1.66,true],["Eastfield or Draw","Eastfield or Draw",1.3,true],["Eastfield or Quarry Lane","Eastfield or Quarry Lane",1.28,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (38, '2026-11-25 19:28:47.792905+00', 1, '', 'toa:00000000000000000000000000000002', 'the-odds-api', 'alpha', 'h2h', '', '', 1, 37, '2026-11-25 19:28:47.792207+00', NULL, '[1,[["home","Eastfield",2.2,true],["draw","Draw",3.3,true],["away","Quarry Lane",3.3,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (39, '2026-11-25 19:28:47.792905+00', 1, '', 'toa:00000000000000000000000000000002', 'the-odds-api', 'alpha', 'totals', '2.5', '', 1, 37, '2026-11-25 19:28:47.792207+00', NULL, '[1,[["over","Over",1.95,true],["under","Under",1.92,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (40, '2026-11-25 19:28:47.792905+00', 1, '', 'toa:00000000000000000000000000000002', 'the-odds-api', 'bravo', 'double_chance', '', '', 1, 40, '2026-11-25 19:28:47.792207+00', NULL, '[1,[["Draw or Quarry Lane","Draw or Quarry Lane",1.66,true],["Eastfield or Draw","Eastfield or Draw",1.3,true],["Eastfield or Quarry Lane","Eastfield or Quarry Lane",1.28,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (41, '2026-11-25 19:28:47.792905+00', 1, '', 'toa:00000000000000000000000000000002', 'the-odds-api', 'bravo', 'h2h', '', '', 1, 40, '2026-11-25 19:28:47.792207+00', NULL, '[1,[["home","Eastfield",2.1,true],["draw","Draw",3.3,true],["away","Quarry Lane",3.4,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (42, '2026-11-25 19:28:47.792905+00', 1, '', 'toa:00000000000000000000000000000002', 'the-odds-api', 'bravo', 'totals', '2.5', '', 1, 40, '2026-11-25 19:28:47.792207+00', NULL, '[1,[["over","Over",1.9,true],["under","Under",1.92,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (43, '2026-11-25 19:28:47.792905+00', 1, '', 'toa:00000000000000000000000000000002', 'the-odds-api', 'cedar', 'h2h', '', '', 1, 43, '2026-11-25 19:28:47.792207+00', NULL, '[1,[["home","Eastfield",2.1,true],["draw","Draw",3.3,true],["away","Quarry Lane",3.4,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (44, '2026-11-25 19:28:47.792905+00', 1, '', 'toa:00000000000000000000000000000002', 'the-odds-api', 'cedar', 'totals', '2.5', '', 1, 43, '2026-11-25 19:28:47.792207+00', NULL, '[1,[["over","Over",1.9,true],["under","Under",1.92,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (45, '2026-11-25 19:28:48.000918+00', 2, '', 'toa:00000000000000000000000000000000', 'the-odds-api', 'alpha', 'h2h', '', '', 1, 45, '2026-11-25 19:28:47.995373+00', '[1,[["home","Harbour Town",2.2,true],["draw","Draw",3.3,true],["away","Mill Rovers",3.3,true]],null,"2026-11-25T19:28:47.792207Z",28]', '[1,[["home","Harbour Town",2.25,true],["draw","Draw",3.3,true],["away","Mill Rovers",3.25,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (46, '2026-11-25 19:28:48.000918+00', 2, '', 'toa:00000000000000000000000000000000', 'the-odds-api', 'alpha', 'totals', '2.5', '', 1, 45, '2026-11-25 19:28:47.995373+00', '[1,[["over","Over",1.95,true],["under","Under",1.92,true]],null,"2026-11-25T19:28:47.792207Z",29]', '[1,[["over","Over",1.975,true],["under","Under",1.92,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (47, '2026-11-25 19:28:48.000918+00', 2, '', 'toa:00000000000000000000000000000000', 'the-odds-api', 'cedar', 'h2h', '', '', 1, 47, '2026-11-25 19:28:47.995373+00', '[1,[["home","Harbour Town",2.1,true],["draw","Draw",3.3,true],["away","Mill Rovers",3.4,true]],null,"2026-11-25T19:28:47.792207Z",30]', '[1,[["home","Harbour Town",2.15,true],["draw","Draw",3.3,true],["away","Mill Rovers",3.35,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (48, '2026-11-25 19:28:48.000918+00', 2, '', 'toa:00000000000000000000000000000000', 'the-odds-api', 'cedar', 'totals', '2.5', '', 1, 47, '2026-11-25 19:28:47.995373+00', '[1,[["over","Over",1.9,true],["under","Under",1.92,true]],null,"2026-11-25T19:28:47.792207Z",31]', '[1,[["over","Over",1.925,true],["under","Under",1.92,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (49, '2026-11-25 19:28:48.000918+00', 7, 'start_moved', 'toa:00000000000000000000000000000001', 'the-odds-api', '', '', '', '', NULL, NULL, '2026-11-25 19:28:47.995373+00', '{"id":"toa:00000000000000000000000000000001","sport":"soccer","competition":"soccer_league","home":"Castle Park","away":"Northgate","start_time":"2026-11-29T17:00:00Z","status":1,"source_ids":{"the-odds-api":"00000000000000000000000000000001"},"merged_into":""}', '{"id":"toa:00000000000000000000000000000001","sport":"soccer","competition":"soccer_league","home":"Castle Park","away":"Northgate","start_time":"2026-11-29T18:00:00Z","status":1,"source_ids":{"the-odds-api":"00000000000000000000000000000001"},"merged_into":""}', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (50, '2026-11-25 19:28:48.000918+00', 2, '', 'toa:00000000000000000000000000000001', 'the-odds-api', 'alpha', 'h2h', '', '', 1, 50, '2026-11-25 19:28:47.995373+00', '[1,[["home","Castle Park",2.1,true],["draw","Draw",3.3,true],["away","Northgate",3.4,true]],null,"2026-11-25T19:28:47.792207Z",32]', '[1,[["home","Castle Park",2.2,true],["draw","Draw",3.3,true],["away","Northgate",3.3,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (51, '2026-11-25 19:28:48.000918+00', 2, '', 'toa:00000000000000000000000000000001', 'the-odds-api', 'alpha', 'totals', '2.5', '', 1, 50, '2026-11-25 19:28:47.995373+00', '[1,[["over","Over",1.9,true],["under","Under",1.92,true]],null,"2026-11-25T19:28:47.792207Z",33]', '[1,[["over","Over",1.95,true],["under","Under",1.92,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (52, '2026-11-25 19:28:48.000918+00', 2, '', 'toa:00000000000000000000000000000001', 'the-odds-api', 'cedar', 'h2h', '', '', 1, 52, '2026-11-25 19:28:47.995373+00', '[1,[["home","Castle Park",2.2,true],["draw","Draw",3.3,true],["away","Northgate",3.3,true]],null,"2026-11-25T19:28:47.792207Z",34]', '[1,[["home","Castle Park",2.1,true],["draw","Draw",3.3,true],["away","Northgate",3.4,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (53, '2026-11-25 19:28:48.000918+00', 2, '', 'toa:00000000000000000000000000000001', 'the-odds-api', 'cedar', 'totals', '2.5', '', 1, 52, '2026-11-25 19:28:47.995373+00', '[1,[["over","Over",1.95,true],["under","Under",1.92,true]],null,"2026-11-25T19:28:47.792207Z",35]', '[1,[["over","Over",1.9,true],["under","Under",1.92,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (54, '2026-11-25 19:28:48.000918+00', 2, '', 'toa:00000000000000000000000000000002', 'the-odds-api', 'alpha', 'h2h', '', '', 1, 54, '2026-11-25 19:28:47.995373+00', '[1,[["home","Eastfield",2.2,true],["draw","Draw",3.3,true],["away","Quarry Lane",3.3,true]],null,"2026-11-25T19:28:47.792207Z",38]', '[1,[["home","Eastfield",2.15,true],["draw","Draw",3.3,true],["away","Quarry Lane",3.35,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (55, '2026-11-25 19:28:48.000918+00', 2, '', 'toa:00000000000000000000000000000002', 'the-odds-api', 'alpha', 'totals', '2.5', '', 1, 54, '2026-11-25 19:28:47.995373+00', '[1,[["over","Over",1.95,true],["under","Under",1.92,true]],null,"2026-11-25T19:28:47.792207Z",39]', '[1,[["over","Over",1.925,true],["under","Under",1.92,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (56, '2026-11-25 19:28:48.000918+00', 2, '', 'toa:00000000000000000000000000000002', 'the-odds-api', 'cedar', 'h2h', '', '', 1, 56, '2026-11-25 19:28:47.995373+00', '[1,[["home","Eastfield",2.1,true],["draw","Draw",3.3,true],["away","Quarry Lane",3.4,true]],null,"2026-11-25T19:28:47.792207Z",43]', '[1,[["home","Eastfield",2.25,true],["draw","Draw",3.3,true],["away","Quarry Lane",3.25,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (57, '2026-11-25 19:28:48.000918+00', 2, '', 'toa:00000000000000000000000000000002', 'the-odds-api', 'cedar', 'totals', '2.5', '', 1, 56, '2026-11-25 19:28:47.995373+00', '[1,[["over","Over",1.9,true],["under","Under",1.92,true]],null,"2026-11-25T19:28:47.792207Z",44]', '[1,[["over","Over",1.975,true],["under","Under",1.92,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (58, '2026-11-25 19:28:48.916747+00', 2, '', 'toa:00000000000000000000000000000000', 'the-odds-api', 'alpha', 'h2h', '', '', 1, 58, '2026-11-25 19:28:48.909187+00', '[1,[["home","Harbour Town",2.25,true],["draw","Draw",3.3,true],["away","Mill Rovers",3.25,true]],null,"2026-11-25T19:28:47.995373Z",45]', '[1,[["home","Harbour Town",2.1,true],["draw","Draw",3.3,true],["away","Mill Rovers",3.4,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (59, '2026-11-25 19:28:48.916747+00', 5, 'line_moved', 'toa:00000000000000000000000000000000', 'the-odds-api', 'alpha', 'totals', '2.5', '', 3, 58, '2026-11-25 19:28:48.909187+00', '[1,[["over","Over",1.975,true],["under","Under",1.92,true]],null,"2026-11-25T19:28:47.995373Z",46]', '[3,[]]', '3', NULL);
INSERT INTO public.odds_history_p20261125 VALUES (60, '2026-11-25 19:28:48.916747+00', 1, 'line_moved', 'toa:00000000000000000000000000000000', 'the-odds-api', 'alpha', 'totals', '3', '', 1, 58, '2026-11-25 19:28:48.909187+00', NULL, '[1,[["over","Over",1.9,true],["under","Under",1.92,true]]]', '2.5', NULL);
INSERT INTO public.odds_history_p20261125 VALUES (61, '2026-11-25 19:28:48.916747+00', 2, '', 'toa:00000000000000000000000000000000', 'the-odds-api', 'cedar', 'h2h', '', '', 1, 61, '2026-11-25 19:28:48.909187+00', '[1,[["home","Harbour Town",2.15,true],["draw","Draw",3.3,true],["away","Mill Rovers",3.35,true]],null,"2026-11-25T19:28:47.995373Z",47]', '[1,[["home","Harbour Town",2.2,true],["draw","Draw",3.3,true],["away","Mill Rovers",3.3,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (62, '2026-11-25 19:28:48.916747+00', 2, '', 'toa:00000000000000000000000000000000', 'the-odds-api', 'cedar', 'totals', '2.5', '', 1, 61, '2026-11-25 19:28:48.909187+00', '[1,[["over","Over",1.925,true],["under","Under",1.92,true]],null,"2026-11-25T19:28:47.995373Z",48]', '[1,[["over","Over",1.95,true],["under","Under",1.92,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (63, '2026-11-25 19:28:48.916747+00', 2, '', 'toa:00000000000000000000000000000001', 'the-odds-api', 'alpha', 'h2h', '', '', 1, 63, '2026-11-25 19:28:48.909187+00', '[1,[["home","Castle Park",2.2,true],["draw","Draw",3.3,true],["away","Northgate",3.3,true]],null,"2026-11-25T19:28:47.995373Z",50]', '[1,[["home","Castle Park",2.1,true],["draw","Draw",3.3,true],["away","Northgate",3.4,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (64, '2026-11-25 19:28:48.916747+00', 5, 'line_moved', 'toa:00000000000000000000000000000001', 'the-odds-api', 'alpha', 'totals', '2.5', '', 3, 63, '2026-11-25 19:28:48.909187+00', '[1,[["over","Over",1.95,true],["under","Under",1.92,true]],null,"2026-11-25T19:28:47.995373Z",51]', '[3,[]]', '3', NULL);
INSERT INTO public.odds_history_p20261125 VALUES (65, '2026-11-25 19:28:48.916747+00', 1, 'line_moved', 'toa:00000000000000000000000000000001', 'the-odds-api', 'alpha', 'totals', '3', '', 1, 63, '2026-11-25 19:28:48.909187+00', NULL, '[1,[["over","Over",1.9,true],["under","Under",1.92,true]]]', '2.5', NULL);
INSERT INTO public.odds_history_p20261125 VALUES (66, '2026-11-25 19:28:48.916747+00', 2, '', 'toa:00000000000000000000000000000001', 'the-odds-api', 'cedar', 'h2h', '', '', 1, 66, '2026-11-25 19:28:48.909187+00', '[1,[["home","Castle Park",2.1,true],["draw","Draw",3.3,true],["away","Northgate",3.4,true]],null,"2026-11-25T19:28:47.995373Z",52]', '[1,[["home","Castle Park",2.2,true],["draw","Draw",3.3,true],["away","Northgate",3.3,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (67, '2026-11-25 19:28:48.916747+00', 2, '', 'toa:00000000000000000000000000000001', 'the-odds-api', 'cedar', 'totals', '2.5', '', 1, 66, '2026-11-25 19:28:48.909187+00', '[1,[["over","Over",1.9,true],["under","Under",1.92,true]],null,"2026-11-25T19:28:47.995373Z",53]', '[1,[["over","Over",1.95,true],["under","Under",1.92,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (68, '2026-11-25 19:28:48.916747+00', 2, '', 'toa:00000000000000000000000000000002', 'the-odds-api', 'alpha', 'h2h', '', '', 1, 68, '2026-11-25 19:28:48.909187+00', '[1,[["home","Eastfield",2.15,true],["draw","Draw",3.3,true],["away","Quarry Lane",3.35,true]],null,"2026-11-25T19:28:47.995373Z",54]', '[1,[["home","Eastfield",2.1,true],["draw","Draw",3.3,true],["away","Quarry Lane",3.4,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (69, '2026-11-25 19:28:48.916747+00', 5, 'line_moved', 'toa:00000000000000000000000000000002', 'the-odds-api', 'alpha', 'totals', '2.5', '', 3, 68, '2026-11-25 19:28:48.909187+00', '[1,[["over","Over",1.925,true],["under","Under",1.92,true]],null,"2026-11-25T19:28:47.995373Z",55]', '[3,[]]', '3', NULL);
INSERT INTO public.odds_history_p20261125 VALUES (70, '2026-11-25 19:28:48.916747+00', 1, 'line_moved', 'toa:00000000000000000000000000000002', 'the-odds-api', 'alpha', 'totals', '3', '', 1, 68, '2026-11-25 19:28:48.909187+00', NULL, '[1,[["over","Over",1.9,true],["under","Under",1.92,true]]]', '2.5', NULL);
INSERT INTO public.odds_history_p20261125 VALUES (71, '2026-11-25 19:28:48.916747+00', 2, '', 'toa:00000000000000000000000000000002', 'the-odds-api', 'cedar', 'h2h', '', '', 1, 71, '2026-11-25 19:28:48.909187+00', '[1,[["home","Eastfield",2.25,true],["draw","Draw",3.3,true],["away","Quarry Lane",3.25,true]],null,"2026-11-25T19:28:47.995373Z",56]', '[1,[["home","Eastfield",2.2,true],["draw","Draw",3.3,true],["away","Quarry Lane",3.3,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (72, '2026-11-25 19:28:48.916747+00', 2, '', 'toa:00000000000000000000000000000002', 'the-odds-api', 'cedar', 'totals', '2.5', '', 1, 71, '2026-11-25 19:28:48.909187+00', '[1,[["over","Over",1.975,true],["under","Under",1.92,true]],null,"2026-11-25T19:28:47.995373Z",57]', '[1,[["over","Over",1.95,true],["under","Under",1.92,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (73, '2026-11-25 19:28:49.113274+00', 2, '', 'toa:00000000000000000000000000000000', 'the-odds-api', 'alpha', 'h2h', '', '', 1, 73, '2026-11-25 19:28:49.112783+00', '[1,[["home","Harbour Town",2.1,true],["draw","Draw",3.3,true],["away","Mill Rovers",3.4,true]],null,"2026-11-25T19:28:48.909187Z",58]', '[1,[["home","Harbour Town",2.15,true],["draw","Draw",3.3,true],["away","Mill Rovers",3.35,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (74, '2026-11-25 19:28:49.113274+00', 2, '', 'toa:00000000000000000000000000000000', 'the-odds-api', 'alpha', 'totals', '3', '', 1, 73, '2026-11-25 19:28:49.112783+00', '[1,[["over","Over",1.9,true],["under","Under",1.92,true]],null,"2026-11-25T19:28:48.909187Z",60]', '[1,[["over","Over",1.925,true],["under","Under",1.92,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (75, '2026-11-25 19:28:49.113274+00', 2, '', 'toa:00000000000000000000000000000000', 'the-odds-api', 'cedar', 'h2h', '', '', 1, 75, '2026-11-25 19:28:49.112783+00', '[1,[["home","Harbour Town",2.2,true],["draw","Draw",3.3,true],["away","Mill Rovers",3.3,true]],null,"2026-11-25T19:28:48.909187Z",61]', '[1,[["home","Harbour Town",2.25,true],["draw","Draw",3.3,true],["away","Mill Rovers",3.25,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (76, '2026-11-25 19:28:49.113274+00', 2, '', 'toa:00000000000000000000000000000000', 'the-odds-api', 'cedar', 'totals', '2.5', '', 1, 75, '2026-11-25 19:28:49.112783+00', '[1,[["over","Over",1.95,true],["under","Under",1.92,true]],null,"2026-11-25T19:28:48.909187Z",62]', '[1,[["over","Over",1.975,true],["under","Under",1.92,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (77, '2026-11-25 19:28:49.113274+00', 2, '', 'toa:00000000000000000000000000000001', 'the-odds-api', 'alpha', 'h2h', '', '', 1, 77, '2026-11-25 19:28:49.112783+00', '[1,[["home","Castle Park",2.1,true],["draw","Draw",3.3,true],["away","Northgate",3.4,true]],null,"2026-11-25T19:28:48.909187Z",63]', '[1,[["home","Castle Park",2.2,true],["draw","Draw",3.3,true],["away","Northgate",3.3,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (78, '2026-11-25 19:28:49.113274+00', 2, '', 'toa:00000000000000000000000000000001', 'the-odds-api', 'alpha', 'totals', '3', '', 1, 77, '2026-11-25 19:28:49.112783+00', '[1,[["over","Over",1.9,true],["under","Under",1.92,true]],null,"2026-11-25T19:28:48.909187Z",65]', '[1,[["over","Over",1.95,true],["under","Under",1.92,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (79, '2026-11-25 19:28:49.113274+00', 5, 'source_removed', 'toa:00000000000000000000000000000001', 'the-odds-api', 'cedar', 'h2h', '', '', 3, 79, '2026-11-25 19:28:49.112783+00', '[1,[["home","Castle Park",2.2,true],["draw","Draw",3.3,true],["away","Northgate",3.3,true]],null,"2026-11-25T19:28:48.909187Z",66]', '[3,[]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (80, '2026-11-25 19:28:49.113274+00', 5, 'source_removed', 'toa:00000000000000000000000000000001', 'the-odds-api', 'cedar', 'totals', '2.5', '', 3, 79, '2026-11-25 19:28:49.112783+00', '[1,[["over","Over",1.95,true],["under","Under",1.92,true]],null,"2026-11-25T19:28:48.909187Z",67]', '[3,[]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (81, '2026-11-25 19:28:49.113274+00', 2, '', 'toa:00000000000000000000000000000002', 'the-odds-api', 'alpha', 'h2h', '', '', 1, 81, '2026-11-25 19:28:49.112783+00', '[1,[["home","Eastfield",2.1,true],["draw","Draw",3.3,true],["away","Quarry Lane",3.4,true]],null,"2026-11-25T19:28:48.909187Z",68]', '[1,[["home","Eastfield",2.25,true],["draw","Draw",3.3,true],["away","Quarry Lane",3.25,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (82, '2026-11-25 19:28:49.113274+00', 2, '', 'toa:00000000000000000000000000000002', 'the-odds-api', 'alpha', 'totals', '3', '', 1, 81, '2026-11-25 19:28:49.112783+00', '[1,[["over","Over",1.9,true],["under","Under",1.92,true]],null,"2026-11-25T19:28:48.909187Z",70]', '[1,[["over","Over",1.975,true],["under","Under",1.92,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (83, '2026-11-25 19:28:49.113274+00', 2, '', 'toa:00000000000000000000000000000002', 'the-odds-api', 'cedar', 'h2h', '', '', 1, 83, '2026-11-25 19:28:49.112783+00', '[1,[["home","Eastfield",2.2,true],["draw","Draw",3.3,true],["away","Quarry Lane",3.3,true]],null,"2026-11-25T19:28:48.909187Z",71]', '[1,[["home","Eastfield",2.15,true],["draw","Draw",3.3,true],["away","Quarry Lane",3.35,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (84, '2026-11-25 19:28:49.113274+00', 2, '', 'toa:00000000000000000000000000000002', 'the-odds-api', 'cedar', 'totals', '2.5', '', 1, 83, '2026-11-25 19:28:49.112783+00', '[1,[["over","Over",1.95,true],["under","Under",1.92,true]],null,"2026-11-25T19:28:48.909187Z",72]', '[1,[["over","Over",1.925,true],["under","Under",1.92,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (85, '2026-11-25 19:28:49.303089+00', 2, '', 'toa:00000000000000000000000000000000', 'the-odds-api', 'alpha', 'h2h', '', '', 1, 85, '2026-11-25 19:28:49.302351+00', '[1,[["home","Harbour Town",2.15,true],["draw","Draw",3.3,true],["away","Mill Rovers",3.35,true]],null,"2026-11-25T19:28:49.112783Z",73]', '[1,[["home","Harbour Town",2.2,true],["draw","Draw",3.3,true],["away","Mill Rovers",3.3,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (86, '2026-11-25 19:28:49.303089+00', 2, '', 'toa:00000000000000000000000000000000', 'the-odds-api', 'alpha', 'totals', '3', '', 1, 85, '2026-11-25 19:28:49.302351+00', '[1,[["over","Over",1.925,true],["under","Under",1.92,true]],null,"2026-11-25T19:28:49.112783Z",74]', '[1,[["over","Over",1.95,true],["under","Under",1.92,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (87, '2026-11-25 19:28:49.303089+00', 2, '', 'toa:00000000000000000000000000000000', 'the-odds-api', 'cedar', 'h2h', '', '', 1, 87, '2026-11-25 19:28:49.302351+00', '[1,[["home","Harbour Town",2.25,true],["draw","Draw",3.3,true],["away","Mill Rovers",3.25,true]],null,"2026-11-25T19:28:49.112783Z",75]', '[1,[["home","Harbour Town",2.1,true],["draw","Draw",3.3,true],["away","Mill Rovers",3.4,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (88, '2026-11-25 19:28:49.303089+00', 2, '', 'toa:00000000000000000000000000000000', 'the-odds-api', 'cedar', 'totals', '2.5', '', 1, 87, '2026-11-25 19:28:49.302351+00', '[1,[["over","Over",1.975,true],["under","Under",1.92,true]],null,"2026-11-25T19:28:49.112783Z",76]', '[1,[["over","Over",1.9,true],["under","Under",1.92,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (89, '2026-11-25 19:28:49.303089+00', 2, '', 'toa:00000000000000000000000000000001', 'the-odds-api', 'alpha', 'h2h', '', '', 1, 89, '2026-11-25 19:28:49.302351+00', '[1,[["home","Castle Park",2.2,true],["draw","Draw",3.3,true],["away","Northgate",3.3,true]],null,"2026-11-25T19:28:49.112783Z",77]', '[1,[["home","Castle Park",2.1,true],["draw","Draw",3.3,true],["away","Northgate",3.4,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (90, '2026-11-25 19:28:49.303089+00', 2, '', 'toa:00000000000000000000000000000001', 'the-odds-api', 'alpha', 'totals', '3', '', 1, 89, '2026-11-25 19:28:49.302351+00', '[1,[["over","Over",1.95,true],["under","Under",1.92,true]],null,"2026-11-25T19:28:49.112783Z",78]', '[1,[["over","Over",1.9,true],["under","Under",1.92,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (91, '2026-11-25 19:28:49.303089+00', 2, '', 'toa:00000000000000000000000000000002', 'the-odds-api', 'alpha', 'h2h', '', '', 1, 91, '2026-11-25 19:28:49.302351+00', '[1,[["home","Eastfield",2.25,true],["draw","Draw",3.3,true],["away","Quarry Lane",3.25,true]],null,"2026-11-25T19:28:49.112783Z",81]', '[1,[["home","Eastfield",2.2,true],["draw","Draw",3.3,true],["away","Quarry Lane",3.3,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (92, '2026-11-25 19:28:49.303089+00', 2, '', 'toa:00000000000000000000000000000002', 'the-odds-api', 'alpha', 'totals', '3', '', 1, 91, '2026-11-25 19:28:49.302351+00', '[1,[["over","Over",1.975,true],["under","Under",1.92,true]],null,"2026-11-25T19:28:49.112783Z",82]', '[1,[["over","Over",1.95,true],["under","Under",1.92,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (93, '2026-11-25 19:28:49.303089+00', 2, '', 'toa:00000000000000000000000000000002', 'the-odds-api', 'cedar', 'h2h', '', '', 1, 93, '2026-11-25 19:28:49.302351+00', '[1,[["home","Eastfield",2.15,true],["draw","Draw",3.3,true],["away","Quarry Lane",3.35,true]],null,"2026-11-25T19:28:49.112783Z",83]', '[1,[["home","Eastfield",2.1,true],["draw","Draw",3.3,true],["away","Quarry Lane",3.4,true]]]', NULL, NULL);
INSERT INTO public.odds_history_p20261125 VALUES (94, '2026-11-25 19:28:49.303089+00', 2, '', 'toa:00000000000000000000000000000002', 'the-odds-api', 'cedar', 'totals', '2.5', '', 1, 93, '2026-11-25 19:28:49.302351+00', '[1,[["over","Over",1.925,true],["under","Under",1.92,true]],null,"2026-11-25T19:28:49.112783Z",84]', '[1,[["over","Over",1.9,true],["under","Under",1.92,true]]]', NULL, NULL);


--
-- Data for Name: odds_history_p20261126; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: odds_history_p20261127; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: scrape_runs; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.scrape_runs VALUES ('2026-11-25 19:28:47.382902+00', 'the-odds-api', 'soccer_league', '2026-11-25 19:28:47.40187+00', 'complete', '', 2, 16, 19, '{}');
INSERT INTO public.scrape_runs VALUES ('2026-11-25 19:28:47.584171+00', 'the-odds-api', 'soccer_league', '2026-11-25 19:28:47.596976+00', 'complete', '', 2, 16, 8, '{}');
INSERT INTO public.scrape_runs VALUES ('2026-11-25 19:28:47.787818+00', 'the-odds-api', 'soccer_league', '2026-11-25 19:28:47.792207+00', 'complete', '', 3, 24, 17, '{}');
INSERT INTO public.scrape_runs VALUES ('2026-11-25 19:28:47.993047+00', 'the-odds-api', 'soccer_league', '2026-11-25 19:28:47.995373+00', 'complete', '', 3, 24, 13, '{}');
INSERT INTO public.scrape_runs VALUES ('2026-11-25 19:28:48.195531+00', 'the-odds-api', 'soccer_league', '2026-11-25 19:28:48.197976+00', 'complete', '', 3, 24, 0, '{}');
INSERT INTO public.scrape_runs VALUES ('2026-11-25 19:28:48.690226+00', 'the-odds-api', 'soccer_league', '2026-11-25 19:28:48.721258+00', 'complete', '', 3, 24, 0, '{}');
INSERT INTO public.scrape_runs VALUES ('2026-11-25 19:28:48.89583+00', 'the-odds-api', 'soccer_league', '2026-11-25 19:28:48.909187+00', 'complete', '', 3, 24, 15, '{}');
INSERT INTO public.scrape_runs VALUES ('2026-11-25 19:28:49.100537+00', 'the-odds-api', 'soccer_league', '2026-11-25 19:28:49.112783+00', 'complete', '', 3, 22, 12, '{}');
INSERT INTO public.scrape_runs VALUES ('2026-11-25 19:28:49.299338+00', 'the-odds-api', 'soccer_league', '2026-11-25 19:28:49.302351+00', 'complete', '', 3, 22, 10, '{}');
INSERT INTO public.scrape_runs VALUES ('2026-11-25 19:28:49.503193+00', 'the-odds-api', 'soccer_league', '2026-11-25 19:28:49.508756+00', 'complete', '', 3, 22, 0, '{}');


--
-- Data for Name: snapshots; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.snapshots VALUES (2, 'toa:00000000000000000000000000000000', 'the-odds-api', 'alpha', '2026-11-25 19:28:47.40187+00', '2026-11-25 19:28:47.40187+00', '2026-11-25 04:10:00+00');
INSERT INTO public.snapshots VALUES (8, 'toa:00000000000000000000000000000000', 'the-odds-api', 'cedar', '2026-11-25 19:28:47.40187+00', '2026-11-25 19:28:47.40187+00', '2026-11-25 04:10:00+00');
INSERT INTO public.snapshots VALUES (11, 'toa:00000000000000000000000000000001', 'the-odds-api', 'alpha', '2026-11-25 19:28:47.40187+00', '2026-11-25 19:28:47.40187+00', '2026-11-25 04:10:00+00');
INSERT INTO public.snapshots VALUES (17, 'toa:00000000000000000000000000000001', 'the-odds-api', 'cedar', '2026-11-25 19:28:47.40187+00', '2026-11-25 19:28:47.40187+00', '2026-11-25 04:10:00+00');
INSERT INTO public.snapshots VALUES (20, 'toa:00000000000000000000000000000000', 'the-odds-api', 'alpha', '2026-11-25 19:28:47.596976+00', '2026-11-25 19:28:47.596976+00', '2026-11-25 04:11:00+00');
INSERT INTO public.snapshots VALUES (22, 'toa:00000000000000000000000000000000', 'the-odds-api', 'cedar', '2026-11-25 19:28:47.596976+00', '2026-11-25 19:28:47.596976+00', '2026-11-25 04:11:00+00');
INSERT INTO public.snapshots VALUES (24, 'toa:00000000000000000000000000000001', 'the-odds-api', 'alpha', '2026-11-25 19:28:47.596976+00', '2026-11-25 19:28:47.596976+00', '2026-11-25 04:11:00+00');
INSERT INTO public.snapshots VALUES (26, 'toa:00000000000000000000000000000001', 'the-odds-api', 'cedar', '2026-11-25 19:28:47.596976+00', '2026-11-25 19:28:47.596976+00', '2026-11-25 04:11:00+00');
INSERT INTO public.snapshots VALUES (28, 'toa:00000000000000000000000000000000', 'the-odds-api', 'alpha', '2026-11-25 19:28:47.792207+00', '2026-11-25 19:28:47.792207+00', '2026-11-25 04:12:00+00');
INSERT INTO public.snapshots VALUES (30, 'toa:00000000000000000000000000000000', 'the-odds-api', 'cedar', '2026-11-25 19:28:47.792207+00', '2026-11-25 19:28:47.792207+00', '2026-11-25 04:12:00+00');
INSERT INTO public.snapshots VALUES (32, 'toa:00000000000000000000000000000001', 'the-odds-api', 'alpha', '2026-11-25 19:28:47.792207+00', '2026-11-25 19:28:47.792207+00', '2026-11-25 04:12:00+00');
INSERT INTO public.snapshots VALUES (34, 'toa:00000000000000000000000000000001', 'the-odds-api', 'cedar', '2026-11-25 19:28:47.792207+00', '2026-11-25 19:28:47.792207+00', '2026-11-25 04:12:00+00');
INSERT INTO public.snapshots VALUES (37, 'toa:00000000000000000000000000000002', 'the-odds-api', 'alpha', '2026-11-25 19:28:47.792207+00', '2026-11-25 19:28:47.792207+00', '2026-11-25 04:12:00+00');
INSERT INTO public.snapshots VALUES (43, 'toa:00000000000000000000000000000002', 'the-odds-api', 'cedar', '2026-11-25 19:28:47.792207+00', '2026-11-25 19:28:47.792207+00', '2026-11-25 04:12:00+00');
INSERT INTO public.snapshots VALUES (85, 'toa:00000000000000000000000000000000', 'the-odds-api', 'alpha', '2026-11-25 19:28:49.508756+00', '2026-11-25 19:28:49.508756+00', '2026-11-25 04:16:00+00');
INSERT INTO public.snapshots VALUES (5, 'toa:00000000000000000000000000000000', 'the-odds-api', 'bravo', '2026-11-25 19:28:49.508756+00', '2026-11-25 19:28:49.508756+00', '2026-11-25 04:16:00+00');
INSERT INTO public.snapshots VALUES (87, 'toa:00000000000000000000000000000000', 'the-odds-api', 'cedar', '2026-11-25 19:28:49.508756+00', '2026-11-25 19:28:49.508756+00', '2026-11-25 04:16:00+00');
INSERT INTO public.snapshots VALUES (89, 'toa:00000000000000000000000000000001', 'the-odds-api', 'alpha', '2026-11-25 19:28:49.508756+00', '2026-11-25 19:28:49.508756+00', '2026-11-25 04:16:00+00');
INSERT INTO public.snapshots VALUES (14, 'toa:00000000000000000000000000000001', 'the-odds-api', 'bravo', '2026-11-25 19:28:49.508756+00', '2026-11-25 19:28:49.508756+00', '2026-11-25 04:16:00+00');
INSERT INTO public.snapshots VALUES (91, 'toa:00000000000000000000000000000002', 'the-odds-api', 'alpha', '2026-11-25 19:28:49.508756+00', '2026-11-25 19:28:49.508756+00', '2026-11-25 04:16:00+00');
INSERT INTO public.snapshots VALUES (58, 'toa:00000000000000000000000000000000', 'the-odds-api', 'alpha', '2026-11-25 19:28:48.909187+00', '2026-11-25 19:28:48.909187+00', '2026-11-25 04:14:00+00');
INSERT INTO public.snapshots VALUES (61, 'toa:00000000000000000000000000000000', 'the-odds-api', 'cedar', '2026-11-25 19:28:48.909187+00', '2026-11-25 19:28:48.909187+00', '2026-11-25 04:14:00+00');
INSERT INTO public.snapshots VALUES (63, 'toa:00000000000000000000000000000001', 'the-odds-api', 'alpha', '2026-11-25 19:28:48.909187+00', '2026-11-25 19:28:48.909187+00', '2026-11-25 04:14:00+00');
INSERT INTO public.snapshots VALUES (66, 'toa:00000000000000000000000000000001', 'the-odds-api', 'cedar', '2026-11-25 19:28:48.909187+00', '2026-11-25 19:28:48.909187+00', '2026-11-25 04:14:00+00');
INSERT INTO public.snapshots VALUES (68, 'toa:00000000000000000000000000000002', 'the-odds-api', 'alpha', '2026-11-25 19:28:48.909187+00', '2026-11-25 19:28:48.909187+00', '2026-11-25 04:14:00+00');
INSERT INTO public.snapshots VALUES (71, 'toa:00000000000000000000000000000002', 'the-odds-api', 'cedar', '2026-11-25 19:28:48.909187+00', '2026-11-25 19:28:48.909187+00', '2026-11-25 04:14:00+00');
INSERT INTO public.snapshots VALUES (45, 'toa:00000000000000000000000000000000', 'the-odds-api', 'alpha', '2026-11-25 19:28:48.721258+00', '2026-11-25 19:28:48.721258+00', '2026-11-25 04:13:00+00');
INSERT INTO public.snapshots VALUES (47, 'toa:00000000000000000000000000000000', 'the-odds-api', 'cedar', '2026-11-25 19:28:48.721258+00', '2026-11-25 19:28:48.721258+00', '2026-11-25 04:13:00+00');
INSERT INTO public.snapshots VALUES (50, 'toa:00000000000000000000000000000001', 'the-odds-api', 'alpha', '2026-11-25 19:28:48.721258+00', '2026-11-25 19:28:48.721258+00', '2026-11-25 04:13:00+00');
INSERT INTO public.snapshots VALUES (52, 'toa:00000000000000000000000000000001', 'the-odds-api', 'cedar', '2026-11-25 19:28:48.721258+00', '2026-11-25 19:28:48.721258+00', '2026-11-25 04:13:00+00');
INSERT INTO public.snapshots VALUES (54, 'toa:00000000000000000000000000000002', 'the-odds-api', 'alpha', '2026-11-25 19:28:48.721258+00', '2026-11-25 19:28:48.721258+00', '2026-11-25 04:13:00+00');
INSERT INTO public.snapshots VALUES (56, 'toa:00000000000000000000000000000002', 'the-odds-api', 'cedar', '2026-11-25 19:28:48.721258+00', '2026-11-25 19:28:48.721258+00', '2026-11-25 04:13:00+00');
INSERT INTO public.snapshots VALUES (73, 'toa:00000000000000000000000000000000', 'the-odds-api', 'alpha', '2026-11-25 19:28:49.112783+00', '2026-11-25 19:28:49.112783+00', '2026-11-25 04:15:00+00');
INSERT INTO public.snapshots VALUES (75, 'toa:00000000000000000000000000000000', 'the-odds-api', 'cedar', '2026-11-25 19:28:49.112783+00', '2026-11-25 19:28:49.112783+00', '2026-11-25 04:15:00+00');
INSERT INTO public.snapshots VALUES (40, 'toa:00000000000000000000000000000002', 'the-odds-api', 'bravo', '2026-11-25 19:28:49.508756+00', '2026-11-25 19:28:49.508756+00', '2026-11-25 04:16:00+00');
INSERT INTO public.snapshots VALUES (93, 'toa:00000000000000000000000000000002', 'the-odds-api', 'cedar', '2026-11-25 19:28:49.508756+00', '2026-11-25 19:28:49.508756+00', '2026-11-25 04:16:00+00');
INSERT INTO public.snapshots VALUES (77, 'toa:00000000000000000000000000000001', 'the-odds-api', 'alpha', '2026-11-25 19:28:49.112783+00', '2026-11-25 19:28:49.112783+00', '2026-11-25 04:15:00+00');
INSERT INTO public.snapshots VALUES (79, 'toa:00000000000000000000000000000001', 'the-odds-api', 'cedar', '2026-11-25 19:28:49.112783+00', '2026-11-25 19:28:49.112783+00', '2026-11-25 04:14:00+00');
INSERT INTO public.snapshots VALUES (81, 'toa:00000000000000000000000000000002', 'the-odds-api', 'alpha', '2026-11-25 19:28:49.112783+00', '2026-11-25 19:28:49.112783+00', '2026-11-25 04:15:00+00');
INSERT INTO public.snapshots VALUES (83, 'toa:00000000000000000000000000000002', 'the-odds-api', 'cedar', '2026-11-25 19:28:49.112783+00', '2026-11-25 19:28:49.112783+00', '2026-11-25 04:15:00+00');


--
-- Data for Name: source_states; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.source_states VALUES ('the-odds-api', '{"source":"the-odds-api","interval_s":0.2,"paces":[[null,0.2]],"status":1,"announced":1,"last_success_at":"2026-11-25T19:28:47.401870Z","watched_since":null,"consecutive_failures":0,"reason":"","quota_left":null}', 19);


--
-- Name: dead_letters_letter_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.dead_letters_letter_id_seq', 1, false);


--
-- Name: epochs_place_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.epochs_place_seq', 2, true);


--
-- Name: feed_state_one_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.feed_state_one_seq', 1, false);


--
-- Name: alembic_version alembic_version_pkc; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);


--
-- Name: bookmakers bookmakers_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.bookmakers
    ADD CONSTRAINT bookmakers_pkey PRIMARY KEY (bookmaker);


--
-- Name: dead_letters dead_letters_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.dead_letters
    ADD CONSTRAINT dead_letters_pkey PRIMARY KEY (letter_id);


--
-- Name: epochs epochs_epoch_key; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.epochs
    ADD CONSTRAINT epochs_epoch_key UNIQUE (epoch);


--
-- Name: epochs epochs_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.epochs
    ADD CONSTRAINT epochs_pkey PRIMARY KEY (place);


--
-- Name: event_sources event_sources_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.event_sources
    ADD CONSTRAINT event_sources_pkey PRIMARY KEY (event_id, source);


--
-- Name: events events_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.events
    ADD CONSTRAINT events_pkey PRIMARY KEY (event_id);


--
-- Name: feed_state feed_state_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.feed_state
    ADD CONSTRAINT feed_state_pkey PRIMARY KEY (one);


--
-- Name: odds_current odds_current_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.odds_current
    ADD CONSTRAINT odds_current_pkey PRIMARY KEY (event_id, source, bookmaker, market, line, participant);


--
-- Name: odds_history odds_history_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.odds_history
    ADD CONSTRAINT odds_history_pkey PRIMARY KEY (revision, detected_at);


--
-- Name: odds_history_p20261125 odds_history_p20261125_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.odds_history_p20261125
    ADD CONSTRAINT odds_history_p20261125_pkey PRIMARY KEY (revision, detected_at);


--
-- Name: odds_history_p20261126 odds_history_p20261126_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.odds_history_p20261126
    ADD CONSTRAINT odds_history_p20261126_pkey PRIMARY KEY (revision, detected_at);


--
-- Name: odds_history_p20261127 odds_history_p20261127_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.odds_history_p20261127
    ADD CONSTRAINT odds_history_p20261127_pkey PRIMARY KEY (revision, detected_at);


--
-- Name: scrape_runs scrape_runs_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.scrape_runs
    ADD CONSTRAINT scrape_runs_pkey PRIMARY KEY (started_at, source, listing);


--
-- Name: snapshots snapshots_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.snapshots
    ADD CONSTRAINT snapshots_pkey PRIMARY KEY (snapshot_id);


--
-- Name: source_states source_states_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.source_states
    ADD CONSTRAINT source_states_pkey PRIMARY KEY (source);


--
-- Name: history_of_event; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX history_of_event ON ONLY public.odds_history USING btree (event_id);


--
-- Name: odds_history_p20261125_event_id_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX odds_history_p20261125_event_id_idx ON public.odds_history_p20261125 USING btree (event_id);


--
-- Name: odds_history_p20261126_event_id_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX odds_history_p20261126_event_id_idx ON public.odds_history_p20261126 USING btree (event_id);


--
-- Name: odds_history_p20261127_event_id_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX odds_history_p20261127_event_id_idx ON public.odds_history_p20261127 USING btree (event_id);


--
-- Name: snapshots_of_event; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX snapshots_of_event ON public.snapshots USING btree (event_id);


--
-- Name: odds_history_p20261125_event_id_idx; Type: INDEX ATTACH; Schema: public; Owner: -
--

ALTER INDEX public.history_of_event ATTACH PARTITION public.odds_history_p20261125_event_id_idx;


--
-- Name: odds_history_p20261125_pkey; Type: INDEX ATTACH; Schema: public; Owner: -
--

ALTER INDEX public.odds_history_pkey ATTACH PARTITION public.odds_history_p20261125_pkey;


--
-- Name: odds_history_p20261126_event_id_idx; Type: INDEX ATTACH; Schema: public; Owner: -
--

ALTER INDEX public.history_of_event ATTACH PARTITION public.odds_history_p20261126_event_id_idx;


--
-- Name: odds_history_p20261126_pkey; Type: INDEX ATTACH; Schema: public; Owner: -
--

ALTER INDEX public.odds_history_pkey ATTACH PARTITION public.odds_history_p20261126_pkey;


--
-- Name: odds_history_p20261127_event_id_idx; Type: INDEX ATTACH; Schema: public; Owner: -
--

ALTER INDEX public.history_of_event ATTACH PARTITION public.odds_history_p20261127_event_id_idx;


--
-- Name: odds_history_p20261127_pkey; Type: INDEX ATTACH; Schema: public; Owner: -
--

ALTER INDEX public.odds_history_pkey ATTACH PARTITION public.odds_history_p20261127_pkey;


--
-- PostgreSQL database dump complete
--


