//! Words that say that nothing is asked of anybody, although the line names an error.

/// Something was off and the program deals with it itself. Silences a warning, not an error.
pub(in crate::domain::classify) const HANDLED: &[&str] = &[
    "falling back", "fall back", "fallback", "using default", "using builtin", "using the default", "defaulting to", "default value", "ignoring", "ignored", "ignore", "deprecated", "deprecation", "deprecation warning", "future warning", "user warning", "experimental", "will be removed", "not recommended", "may be safely", "can be safely", "harmless", "no action", "optional", "will be dropped", "forcibly unregistered", "will be created", "creating", "created", "assuming", "attempting conversion", "symlink", "native hadoop", "performance", "slow query", "old client", "not supported in this version", "skipping symlink",
];

/// It is being tried again. Silences a warning and a line without a level of its own, not an error.
pub(in crate::domain::classify) const RETRYING: &[&str] = &[
    "retrying", "retry in", "retry #", "will retry", "will be retried", "to be retried", "trying again", "reconnecting", "will reconnect", "attempting to reconnect", "reconnect in", "next attempt", "next try", "backing off", "attempt #/#", "attempt # of #", "(#/#)", "retry attempt", "recovered", "重试", "повтор", "reintentando", "nouvelle tentative", "erneuter versuch", "mencoba lagi", "再試行", "retry(total=",
];

/// The line says that something went wrong, whatever it was.
pub(in crate::domain::classify) const FAILURE: &[&str] = &[
    "error:", "errors:", "error -", "error!", "error code", "error occurred", "errors occurred", "error while", "error in", "error during", "error when", "error at", "error from", "error for", "error reading", "error writing", "error opening", "error loading", "error creating", "error getting", "error processing", "error connecting", "an error", "with error", "error [", "error (", "error '", "'error'", "<error", "error>", "error=", "api error", "server error", "~error: ", "err!", "err:", "# errors", "# error", "error parsing", "error fetching", "error executing", "error running", "error sending", "error saving", "error handling request", "failed", "failure", "fails", "fatal", "exception", "exceptions", "cannot", "panic", "denied", "rejected", "refused", "abort", "aborted", "aborting", "unsuccessful", "crashed", "not successful", "oauth problem", "✗", "❌", "🚨",
    "gagal", "fallo", "falló", "fallaron", "fallido", "error al", "error en", "error de", "no se pudo", "fehler", "fehlgeschlagen", "konnte nicht", "erreur", "échec", "échoué", "impossible de", "errore", "fallito", "impossibile", "erro ", "erro:", "falha", "falhou", "não foi possível", "ошибка", "не удалось", "сбой", "错误", "失败", "异常", "出错", "エラー", "失敗", "例外", "오류", "실패", "mislukt", "fout", "błąd", "nie udało się", "hata", "başarısız", "lỗi", "thất bại",
];

/// Reports of a failure that their writers log as information.
pub(in crate::domain::classify) const SAID_CALMLY: &[&str] = &[
    "with state failed", "marking task as failed", "marking run * failed", "command exited with return code #", "task exited with return code #", "process completed with exit code #",
];

/// Advice begins here; what it names is not what happened.
pub(in crate::domain::classify) const ADVICE: &[&str] = &[
    "check your", "check that", "check the", "check if", "please check", "make sure", "please make sure", "please ensure", "ensure that", "ensure the", "perhaps you", "did you", "you may need", "you might", "try again", "try using", "is the server running", "hint:", "learn more", "for more information", "possible reason", "possible cause", "verify that", "please verify", "please provide", "please set", "visit url", "see url", "background on this error",
];

/// The line reports success, or that there were no errors. Silences a line without a level of its own.
pub(in crate::domain::classify) const PEACEFUL: &[&str] = &[
    "already exists, skipping", "skipping existing", "if not exists", "0 errors", "0 error", "0 failed", "0 failures", "0 failure", "0 exceptions", "no error", "no errors", "no failures", "no failed", "no exceptions", "zero errors", "without error", "without errors", "without any error~", "without failure", "error free", "errors: 0", "error: 0", "errors=0", "error=0", "errors = 0", "errors found: 0", "failed: 0", "failed=0", "failures: 0", "failures=0", "fail: 0", "fail=0", "fail 0", "failed 0", "errors: none", "error: none", "errors none", "errors: []", "errors: no", "error: null", "error: false", "error='none'", "'error': null", "'error':null", "'errors': []", "'errors':[]", "'errors': 0", "'errors':0", "'error': false", "'error':false", "'error': none", "error handler", "error handling", "error handlers", "error log", "error logs", "error page", "error pages", "error reporting", "error rate", "error budget", "error recovery", "error correction", "error messages", "error code mapping", "on error", "exception handler", "exception handling", "failure threshold", "failure detector", "failover", "fail fast", "fail safe", "failsafe", "if failed", "if it fails", "in case of failure", "in case of error", "fixed error", "fixed failing", "errors fixed", "previously failed", "recovered from", "resolved", "successfully", "succeeded", "exit status 0", "exit status: 0", "exit code 0", "exit code: 0", "exited with code 0", "exited with status 0", "exit code=0", "return code 0", "return code: 0", "returned 0", "status 0", "code=0", "code 0", "error level", "loglevel", "log level",
];
