//! Each family of rules, by lines as such systems print them.

use super::*;

#[track_caller]
fn causes(cases: &[(&str, Cause)]) {
    let classifier = builtin();
    let wrong: Vec<String> = cases
        .iter()
        .filter(|(line, cause)| classify_one(&classifier, line).1 != Some(*cause))
        .map(|(line, cause)| {
            format!(
                "{line}\n  expected {cause}, found {:?}",
                classify_one(&classifier, line).1.map(Cause::code)
            )
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_network_is_external() {
    causes(&[
        ("curl: (6) Could not resolve host: api.tickets.example", Cause::ExtDns),
        ("dial tcp: lookup api.tickets.example on 10.0.0.2:53: no such host", Cause::ExtDns),
        ("Error: getaddrinfo EAI_AGAIN api.tickets.example", Cause::ExtDns),
        ("java.net.UnknownHostException: api.tickets.example", Cause::ExtDns),
        ("dial tcp 10.1.2.3:5432: connect: connection refused", Cause::ExtNetRefused),
        ("Error: connect ECONNREFUSED 127.0.0.1:6379", Cause::ExtNetRefused),
        ("connect to host sftp.example port 22: No route to host", Cause::ExtNetUnreachable),
        (
            "read tcp 10.0.0.1:44210->10.0.0.9:443: read: connection reset by peer",
            Cause::ExtNetReset,
        ),
        ("Error: socket hang up", Cause::ExtNetClosed),
        ("MySQL server has gone away", Cause::ExtNetClosed),
        (
            "http.client.RemoteDisconnected: Remote end closed connection without response",
            Cause::ExtNetClosed,
        ),
        (
            "context deadline exceeded (Client.Timeout exceeded while awaiting headers)",
            Cause::ExtNetTimeout,
        ),
        ("java.net.SocketTimeoutException: Read timed out", Cause::ExtNetTimeout),
        (
            "rpc error: code = DeadlineExceeded desc = context deadline exceeded",
            Cause::ExtNetTimeout,
        ),
        ("IncompleteRead(1200 bytes read, 800 more expected)", Cause::ExtNetTruncated),
    ]);
}

#[test]
fn faults_and_limits_of_the_other_side_are_external() {
    causes(&[
        (
            "requests.exceptions.HTTPError: 503 Server Error: Service Unavailable for url: https://api.example/v1",
            Cause::Ext5xx,
        ),
        ("upstream answered HTTP 502", Cause::Ext5xx),
        ("Request failed with status code 429", Cause::ExtRate),
        ("botocore.errorfactory.ThrottlingException: Rate exceeded", Cause::ExtRate),
        ("rpc error: code = ResourceExhausted desc = quota exceeded", Cause::ExtRate),
        ("x509: certificate has expired or is not yet valid", Cause::ExtTlsExpired),
        (
            "ObjectOptimisticLockingFailureException: row was updated or deleted by another transaction",
            Cause::ExtConflict,
        ),
        (
            "json.decoder.JSONDecodeError: Expecting value: line 1 column 1 (char 0)",
            Cause::ExtContract,
        ),
        (
            "SyntaxError: Unexpected token '<', \"<!DOCTYPE \"... is not valid JSON",
            Cause::ExtContract,
        ),
    ]);
}

#[test]
fn credentials_permissions_and_addresses_are_configuration() {
    causes(&[
        (
            "ERROR 1045 (28000): Access denied for user 'sales'@'10.0.0.5' (using password: YES)",
            Cause::CfgAuth,
        ),
        ("psql: error: FATAL: password authentication failed for user \"sales\"", Cause::CfgAuth),
        (
            "{\"error\":\"invalid_grant\",\"error_description\":\"Token has been expired or revoked.\"}",
            Cause::CfgAuth,
        ),
        (
            "smtplib.SMTPAuthenticationError: (535, b'5.7.8 Username and Password not accepted')",
            Cause::CfgAuth,
        ),
        ("git@host.example: Permission denied (publickey).", Cause::CfgAuth),
        (
            "An error occurred (AccessDenied) when calling the PutObject operation: Access Denied",
            Cause::CfgPerm,
        ),
        ("403 Client Error: Forbidden for url: https://api.example/v1/users", Cause::CfgPerm),
        ("open /srv/export/sales.csv: permission denied", Cause::CfgPerm),
        ("cat: sales.csv: No such file or directory", Cause::CfgLocal),
        ("bash: jq: command not found", Cause::CfgLocal),
        ("ValueError: SHOP_TOKEN environment variable is not set", Cause::CfgLocal),
        (
            "requests.exceptions.SSLError: certificate verify failed: self-signed certificate in certificate chain",
            Cause::CfgTls,
        ),
        (
            "curl: (60) SSL: no alternative certificate subject name matches target host name 'x'",
            Cause::CfgTls,
        ),
        ("curl: (56) Received HTTP code 407 from proxy after CONNECT", Cause::CfgProxy),
        ("The specified bucket does not exist: NoSuchBucket", Cause::CfgEndpoint),
        ("405 Method Not Allowed", Cause::CfgEndpoint),
        ("stripe: No signatures found matching the expected signature for payload", Cause::CfgSig),
        ("ERROR:  relation \"public.sales\" does not exist at character 15", Cause::CfgDatabase),
        ("ORA-00942: table or view does not exist", Cause::CfgDatabase),
    ]);
}

#[test]
fn records_and_their_values_are_mapping() {
    causes(&[
        ("No such customer: 'cus_9X'", Cause::MapRef),
        (
            "insert or update on table \"lines\" violates foreign key constraint \"lines_order_fk\"",
            Cause::MapRef,
        ),
        ("ActiveRecord::RecordNotFound: Couldn't find Order with 'id'=77", Cause::MapRef),
        (
            "550 5.1.1 <nobody@shop.example>: Recipient address rejected: User unknown",
            Cause::MapRef,
        ),
        ("duplicate key value violates unique constraint \"orders_pkey\"", Cause::MapField),
        ("(1406, \"Data too long for column 'title' at row 1\")", Cause::MapField),
        ("REQUIRED_FIELD_MISSING: Required fields are missing: [LastName]", Cause::MapField),
        ("Request failed (422): {\"errors\":{\"email\":[\"is invalid\"]}}", Cause::MapField),
        ("KeyError: 'price'", Cause::MapField),
        ("ERROR no mapping for category 'Z9'", Cause::MapMissing),
        ("ValueError: time data '31/02/2031' does not match format '%Y-%m-%d'", Cause::MapMissing),
        (
            "UnicodeDecodeError: 'utf-8' codec can't decode byte 0xe9 in position 3: invalid continuation byte",
            Cause::MapMissing,
        ),
        ("java.lang.NumberFormatException: For input string: \"12,5\"", Cause::MapMissing),
    ]);
}

#[test]
fn our_own_software_and_machine_are_technical() {
    causes(&[
        (
            "java.lang.NullPointerException: Cannot invoke \"String.length()\" because \"s\" is null",
            Cause::TecProgram,
        ),
        ("TypeError: Cannot read properties of undefined (reading 'id')", Cause::TecProgram),
        ("AttributeError: 'NoneType' object has no attribute 'strip'", Cause::TecProgram),
        ("panic: runtime error: index out of range [3] with length 3", Cause::TecProgram),
        ("PHP Fatal error:  Uncaught Error: Call to undefined function sale()", Cause::TecProgram),
        (
            "System.NullReferenceException: Object reference not set to an instance of an object.",
            Cause::TecProgram,
        ),
        ("ModuleNotFoundError: No module named 'sales'", Cause::TecDependency),
        ("Error: Cannot find module '/srv/sales.js'", Cause::TecDependency),
        ("Segmentation fault (core dumped)", Cause::TecCrash),
        ("OSError: [Errno 28] No space left on device", Cause::TecDisk),
        ("java.lang.OutOfMemoryError: Java heap space", Cause::TecOom),
        ("OSError: [Errno 24] Too many open files", Cause::TecResource),
        ("ERROR: deadlock detected", Cause::TecStore),
        ("413 Request Entity Too Large", Cause::TecSize),
        ("2031-01-05 ERROR the frobnicator is sad", Cause::TecUnclassified),
    ]);
}

#[test]
fn consequences_are_cascades() {
    for line in [
        "make: *** [Makefile:12: sync] Error 2",
        "npm ERR! code ELIFECYCLE",
        "Error: Process completed with exit code 1.",
        "subprocess.CalledProcessError: Command '['sync']' returned non-zero exit status 3.",
        "ERROR: current transaction is aborted, commands ignored until end of transaction block",
        "ERROR skipping load because extract failed",
        "CallNotPermittedException: CircuitBreaker 'shop' is OPEN and does not permit further calls",
        "org.springframework.transaction.UnexpectedRollbackException: Transaction silently rolled back because it has been marked as rollback-only",
    ] {
        assert_eq!(classify_one(&builtin(), line).0, Some(Class::Cascade), "{line}");
    }
}

#[test]
fn lines_that_call_for_no_action_have_no_class() {
    for line in [
        "Finished: 120 records, 0 errors",
        "errors: none",
        "INFO error_handler loaded",
        "WARN 503 Service Unavailable, retrying (1/5)",
        "2031-01-05 10:00:00 DEBUG connection refused by the stub, as planned",
        "read_timeout = 30",
        "rate limit: 60",
        "Downloading liberror-perl_0.17.deb",
        "{\"level\":\"info\",\"msg\":\"connection reset counter cleared\"}",
        "process exited with code 0",
        "PASS=3 WARN=0 ERROR=0",
        "DeprecationWarning: this will be removed in 3.0",
    ] {
        assert_eq!(classify_one(&builtin(), line).0, None, "{line}");
    }
}

#[test]
fn a_line_that_wraps_a_cause_gets_the_innermost_one() {
    causes(&[
        ("ERROR Authentication failed: connect ETIMEDOUT 10.0.0.1:443", Cause::ExtNetTimeout),
        (
            "Sync failed: HTTPError: 401 Client Error: Unauthorized for url: https://api.example/v1",
            Cause::CfgAuth,
        ),
        (
            "ERROR connection error: duplicate key value violates unique constraint \"a\"",
            Cause::MapField,
        ),
        ("gave up after 5 attempts: Error code: 429", Cause::ExtRate),
    ]);
}

#[test]
fn a_missing_record_and_a_missing_page_are_told_apart_by_the_address() {
    causes(&[
        (
            "404 Client Error: Not Found for url: https://api.example/v2/orders/884213",
            Cause::MapRef,
        ),
        ("404 Client Error: Not Found for url: https://api.example/v2/orderz", Cause::CfgEndpoint),
    ]);
}

#[test]
fn the_longer_statement_wins_over_the_shorter_one_inside_it() {
    causes(&[
        ("{\"detail\":\"Authentication credentials were not provided.\"}", Cause::CfgAuth),
        ("sync.py: error: the following arguments are required: --from", Cause::CfgLocal),
        ("ERROR The billing subscription is required for this API", Cause::CfgPerm),
        ("ERROR file sales.csv: column not found", Cause::MapField),
    ]);
}

#[test]
fn what_is_missing_in_the_settings_is_configuration() {
    causes(&[
        ("ERROR SHOP_BASE_URL is missing", Cause::CfgLocal),
        ("Error: MAIL_HOST must be provided", Cause::CfgLocal),
        ("error: failed to parse config file: unknown field `intervall`", Cause::CfgLocal),
        ("toml: invalid value in daybook.toml (line 4 column 1)", Cause::CfgLocal),
        ("configparser.NoOptionError: No option 'host' in section: 'smtp'", Cause::CfgLocal),
        ("ERROR field `vat_number` is missing", Cause::MapField),
    ]);
}

#[test]
fn a_consequence_that_says_why_is_judged_by_why() {
    causes(&[
        ("Aborting due to connection failure: Connection refused", Cause::ExtNetRefused),
        (
            "This Session's transaction has been rolled back due to a previous exception. Original exception was: null value in column \"sku\" violates not-null constraint",
            Cause::MapField,
        ),
        ("Job aborted due to stage failure: Task 3 in stage 1.0 failed 4 times", Cause::CasStep),
    ]);
}

#[test]
fn a_verdict_without_a_reason_is_a_cascade() {
    for line in [
        "ERROR Nightly export failed",
        "ERROR Synchronisation failed after 12.4 seconds",
        "[ERROR] Todos los reintentos fallaron",
        "Finished: FAILURE",
        "Done. PASS=3 WARN=0 ERROR=2 SKIP=4 TOTAL=9",
        "PLAY RECAP web1 : ok=3 changed=0 unreachable=0 failed=1",
        "FAILED tests/test_sync.py::test_orders",
        "systemd[1]: sync.service: Start request repeated too quickly.",
        "make: *** [Makefile:5: all] Error 1",
        "INFO - Task exited with return code 1",
        "2031-01-05 10:00:00 INFO - [ERROR] FAILED: sales.csv",
    ] {
        assert_eq!(classify_one(&builtin(), line).0, Some(Class::Cascade), "{line}");
    }
}

#[test]
fn other_languages_are_read_too() {
    causes(&[
        ("ERROR Le serveur a mis trop de temps à répondre", Cause::ExtNetTimeout),
        ("FEHLER: Verbindung verweigert", Cause::ExtNetRefused),
        ("ERROR - 请求超时", Cause::ExtNetTimeout),
        ("ERROR No tiene permiso para esta operación", Cause::CfgPerm),
        ("ERROR - 登录失败: 密码错误", Cause::CfgAuth),
        ("FEHLER Zeile 8: Artikelnummer 4711 unbekannt", Cause::MapRef),
        ("ОШИБКА: неверный формат даты в строке 5", Cause::MapField),
    ]);
}

#[test]
fn answers_of_external_systems_are_read_without_a_level() {
    causes(&[
        ("<Message>The server is currently overloaded</Message>", Cause::ExtRate),
        ("<faultstring>User is not authorized to run this</faultstring>", Cause::CfgPerm),
        ("\"errorMessage\": \"Please enter a valid postcode.\"", Cause::MapField),
        ("oauth_problem=token_expired&oauth_problem_advice=please%20renew", Cause::CfgAuth),
    ]);
}

#[test]
fn ordinary_work_that_names_errors_has_no_class() {
    for line in [
        "[main 1a2b3c4] Fix the crash when the token is invalid",
        "Merge branch 'fix/timeout-error'",
        "Downloading failure-1.0-py3-none-any.whl (12 kB)",
        "test_invalid_token PASSED [ 12%]",
        "ok: [web1] => {\"changed\": false, \"failed\": false}",
        "{\"id\":12,\"state\":\"paid\",\"failure_code\":null}",
        "127.0.0.1 - - [05/Jan/2031:10:00:00 +0000] \"GET /unauthorized HTTP/1.1\" 200 512",
        "retry.on.error=true",
        "log.level=error",
        " 'downloader/exception_count': 4,",
        "PLAY RECAP web1 : ok=3 changed=0 unreachable=0 failed=0",
        "Epoch 3/10 - loss: 0.33 - val_error: 0.12",
        "LOG:  could not receive data from client: Connection reset by peer",
        "Found 12 orders with status \"error\" to reprocess",
        "DeprecationWarning: utcnow() is deprecated and scheduled for removal",
        "make: Nothing to be done for 'all'.",
        "processed rows: 500",
    ] {
        assert_eq!(classify_one(&builtin(), line).0, None, "{line}");
    }
}

#[test]
fn what_another_system_refuses_in_its_own_words_is_mapping() {
    causes(&[
        (
            "<Message>Parcel 2 is heavier than the service takes, please split it</Message>",
            Cause::MapField,
        ),
        ("\"message\": \"Gift cards should not be combined with vouchers\"", Cause::MapField),
        ("[{\"errorMessage\":\"Only one main picture per article\"}]", Cause::MapField),
        ("{\"errors\":[\"Deliveries on Sundays\"]}", Cause::MapField),
        ("{\"message\":\"Not Found\",\"documentation_url\":\"https://x.example\"}", Cause::MapRef),
        ("<ship:Message>This lane is served on weekdays only</ship:Message>", Cause::MapField),
    ]);
    for line in [
        "<Message>Your booking is confirmed</Message>",
        "{\"message\":\"Only two left\",\"items\":2}",
        "{\"errors\":[],\"message\":\"stored\"}",
        "{\"status\":\"ok\",\"message\":\"please come again, not before noon\"}",
        "{\"id\":7,\"message\":\"wrong door, left a card\"}",
        "<Response><Status>OK</Status><ErrorCode>0</ErrorCode></Response>",
    ] {
        assert_eq!(classify_one(&builtin(), line).0, None, "{line}");
    }
    // A logger's line is no answer: what it does not explain is ours.
    causes(&[(
        "{\"level\":\"error\",\"time\":1,\"error\":\"step four of the plan\"}",
        Cause::TecUnclassified,
    )]);
    // The other system says no more than that it broke.
    causes(&[("{\"error\":\"Oops, something went wrong\"}", Cause::ExtOther)]);
}

#[test]
fn a_subject_and_a_word_of_trouble_are_enough_in_any_language() {
    causes(&[
        ("ERROR loader: 3 rows with an empty supplier", Cause::MapField),
        ("ERROR birth date lies in the future", Cause::MapField),
        ("FEHLER: Der Betrag \"zwölf\" ist keine Zahl", Cause::MapField),
        ("La contraseña del buzón es incorrecta", Cause::CfgAuth),
        ("Le jeton d'accès est expiré", Cause::CfgAuth),
        ("Fehler: Zielverzeichnis /in/bestellungen nicht vorhanden", Cause::CfgLocal),
        ("Не задан API-ключ", Cause::CfgLocal),
        ("Der Server hat die Verbindung beendet", Cause::ExtOther),
        ("[error] license key is not valid for this shop", Cause::CfgAuth),
    ]);
    // A user's name in a record is no credential of ours.
    causes(&[("ERROR username has already been taken", Cause::MapField)]);
}

#[test]
fn a_file_of_records_that_cannot_be_read_is_no_answer() {
    causes(&[
        (
            "ERROR not well-formed (invalid token): line 9, column 2 in parts-03.xml",
            Cause::MapMissing,
        ),
        ("ERROR not well-formed (invalid token): line 9, column 2", Cause::ExtContract),
    ]);
}

#[test]
fn what_is_counted_and_none_did_not_happen() {
    for line in [
        "0 rows rejected, 12 loaded",
        "done: 0 records failed",
        "Aucune erreur",
        "12 Zeilen, keine Fehler",
    ] {
        assert_eq!(classify_one(&builtin(), line).0, None, "{line}");
    }
}

#[test]
fn a_thread_with_a_level_and_a_status_behind_an_arrow_are_read() {
    assert_eq!(
        classify_one(&builtin(), "[10:00:00] [worker-2/INFO]: player lost connection").0,
        None
    );
    causes(&[
        ("ERROR GET /v2/parts?page=3 -> 503 after 9 s", Cause::Ext5xx),
        ("WARNING got 429 from parts.example, leaving it for today", Cause::ExtRate),
        ("E: cannot fetch url  503  Service Unavailable", Cause::Ext5xx),
        ("fail: Parts.Sync[0] the server does not respond", Cause::ExtNetTimeout),
    ]);
    assert_eq!(classify_one(&builtin(), "query returned 500 rows").0, None);
}
