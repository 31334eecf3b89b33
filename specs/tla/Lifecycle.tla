----------------------------- MODULE Lifecycle -----------------------------
(***************************************************************************)
(* The life of one Message Batch.                                          *)
(*                                                                         *)
(* The actions say what a server may do, in its own words: requests move   *)
(* from `processing` to an outcome, time does not run backwards.  The      *)
(* rules of specs/lifecycle.md stand below them, each under its id, and    *)
(* TLC looks whether what a server may do ever breaks one.                 *)
(*                                                                         *)
(* specs/README.md says what is modelled and what is not.                  *)
(***************************************************************************)
EXTENDS Integers

CONSTANTS
    Sizes,      \* the numbers of requests that somebody asks for
    Largest,    \* stands for the limit of 100,000 requests
    Expiries,   \* the times of expiry that somebody may state
    Last,       \* the last tick of the clock
    Tiers,      \* the tiers that the server keeps to, of "law", "contract" and "advice"
    Null        \* a value that does not apply

(***************************************************************************)
(* A tick is a length of time of which nothing is known but its order.     *)
(* Every batch is created at tick 1, so tick 0 is a time before that.      *)
(* "24 hours" and "29 days" become 1 and 2 ticks.                          *)
(***************************************************************************)
Ticks == 0..Last
Start == 1
Lifetime == 1
ResultsLifetime == 2

Contract == "contract" \in Tiers
Advice == "advice" \in Tiers

VARIABLES
    status,     \* processing_status, or "absent"
    counts,     \* request_counts
    created_at, expires_at, cancel_initiated_at, ended_at, archived_at, deleted_at,
    results_url

times == <<created_at, expires_at, cancel_initiated_at, ended_at, archived_at, deleted_at>>
vars == <<status, counts, times, results_url>>

Outcomes == {"succeeded", "errored", "canceled", "expired"}
Fields == Outcomes \union {"processing"}

Sum(f) == f["succeeded"] + f["errored"] + f["canceled"] + f["expired"]
Total(c) == c["processing"] + Sum(c)

Urls == {Null, "url"}

Phase ==
    IF deleted_at # Null THEN "deleted"
    ELSE IF archived_at # Null /\ status = "ended" THEN "archived"
    ELSE status

Live == Phase \in {"in_progress", "canceling"}

\* What has happened stays behind: the earliest tick for what comes next.
Latest ==
    LET set == {t \in {created_at, cancel_initiated_at, ended_at, archived_at} : t # Null}
    IN  CHOOSE t \in set : \A u \in set : u <= t

\* Ways[n]: how some of n requests finish, so many by each outcome, and no more than there are.
\* It has no variable in it, so TLC works it out once.  Below 0, and above the limit, is for a server with a bug.
Ways == [n \in -1..Largest + 1 |-> {f \in [Outcomes -> 0..n] : Sum(f) <= n}]

\* Which requests finish, and how.
Finished == Ways[counts["processing"]]

\* Where the requests are then.
Moved(f) ==
    [field \in Fields |->
        IF field = "processing" THEN counts[field] - Sum(f) ELSE counts[field] + f[field]]

NoOutcome(c) == \A outcome \in Outcomes : c[outcome] = 0

-----------------------------------------------------------------------------

Init ==
    /\ status = "absent"
    /\ counts = [field \in Fields |-> 0]
    /\ created_at = Null /\ expires_at = Null
    /\ cancel_initiated_at = Null /\ ended_at = Null /\ archived_at = Null /\ deleted_at = Null
    /\ results_url = Null

Created ==
    /\ Phase = "absent"
    /\ \E size \in Sizes, expiry \in Expiries :
        /\ Contract => 1 <= size /\ size <= Largest
        /\ Contract => expiry = Start + Lifetime
        /\ counts' = [field \in Fields |-> IF field = "processing" THEN size ELSE 0]
        /\ expires_at' = expiry
    /\ status' = "in_progress"
    /\ created_at' = Start
    /\ UNCHANGED <<cancel_initiated_at, ended_at, archived_at, deleted_at, results_url>>

CountsUpdated ==
    /\ Live
    /\ \E f \in Finished :
        /\ Contract => Sum(f) = 0
        /\ counts' = Moved(f)
    /\ UNCHANGED <<status, times, results_url>>

CancelInitiated ==
    /\ Phase = "in_progress"
    /\ \E t \in Ticks :
        /\ Latest <= t
        /\ cancel_initiated_at' = t
    /\ status' = "canceling"
    /\ UNCHANGED <<counts, created_at, expires_at, ended_at, archived_at, deleted_at, results_url>>

Ended ==
    /\ Live
    /\ status' = "ended"  \* first, for here TLC sees soonest that another step is none of these
    /\ \E f \in Finished :
        /\ Sum(f) = counts["processing"]
        /\ counts' = Moved(f)
        /\ Contract /\ f["canceled"] > 0 => cancel_initiated_at # Null
        /\ \E t \in Ticks, url \in Urls :
            /\ Latest <= t
            /\ Advice /\ f["expired"] > 0 => expires_at <= t
            /\ Advice /\ expires_at < t => f["expired"] > 0
            /\ Advice => url # Null
            /\ ended_at' = t
            /\ results_url' = url
    /\ UNCHANGED <<created_at, expires_at, cancel_initiated_at, archived_at, deleted_at>>

Archived ==
    /\ Phase = "ended"
    /\ \E t \in Ticks, url \in Urls :
        /\ Latest <= t
        /\ Advice => Start + ResultsLifetime <= t
        /\ archived_at' = t
        /\ results_url' = url
    /\ UNCHANGED <<status, counts, created_at, expires_at, cancel_initiated_at, ended_at, deleted_at>>

Deleted ==
    /\ Phase \in {"ended", "archived"}
    /\ \E t \in Ticks :
        /\ Latest <= t
        /\ deleted_at' = t
    /\ UNCHANGED <<status, counts, created_at, expires_at, cancel_initiated_at, ended_at, archived_at, results_url>>

Next == Created \/ CountsUpdated \/ CancelInitiated \/ Ended \/ Archived \/ Deleted

Spec == Init /\ [][Next]_vars /\ WF_vars(Ended)

-----------------------------------------------------------------------------
(***************************************************************************)
(* The rules about one batch on its own.  Before `Created` there is none.  *)
(***************************************************************************)

Is(rule) == status # "absent" => rule

Ordered(t, u) == t # Null /\ u # Null => t <= u

B1 == \A field \in Fields : 0 <= counts[field]
B2 == Is(1 <= Total(counts) /\ Total(counts) <= Largest)
B3 == Is(expires_at = created_at + Lifetime)
B4 == Is(status = "ended" <=> ended_at # Null)
B5 == Is(status = "ended" => counts["processing"] = 0)
B6 == Is(/\ status = "canceling" => cancel_initiated_at # Null
         /\ status = "in_progress" => cancel_initiated_at = Null)
B7 == Is(status # "ended" => NoOutcome(counts))
B8 == Is(status # "ended" => results_url = Null)
B9 == Is(counts["canceled"] > 0 => cancel_initiated_at # Null)
B10 == Is(status # "ended" => archived_at = Null /\ deleted_at = Null)
B11 == LET order == <<created_at, cancel_initiated_at, ended_at, archived_at, deleted_at>>
       IN  \A i, j \in 1..5 : i < j => Ordered(order[i], order[j])
B12 == Is(counts["expired"] > 0 /\ ended_at # Null => expires_at <= ended_at)
B13 == Is(ended_at # Null => (expires_at < ended_at => counts["expired"] > 0))
B14 == Is(status = "ended" /\ archived_at = Null => results_url # Null)
B15 == Is(archived_at # Null => archived_at >= created_at + ResultsLifetime)

(***************************************************************************)
(* The rules from one state of a batch to its next.                        *)
(***************************************************************************)

Arrows ==
    {<<"absent", "in_progress">>, <<"in_progress", "in_progress">>, <<"in_progress", "canceling">>,
     <<"in_progress", "ended">>, <<"canceling", "canceling">>, <<"canceling", "ended">>,
     <<"ended", "archived">>, <<"ended", "deleted">>, <<"archived", "deleted">>}

Arrow(before, after) == <<before, after>> \in Arrows

Step(rule) == status # "absent" => rule

T1 == [][Arrow(Phase, Phase')]_vars
T2 == [][Step(created_at' = created_at /\ expires_at' = expires_at)]_vars
T3 == [][Step(Total(counts') = Total(counts))]_vars
T4 == [][/\ cancel_initiated_at # Null => cancel_initiated_at' = cancel_initiated_at
         /\ ended_at # Null => ended_at' = ended_at
         /\ archived_at # Null => archived_at' = archived_at
         /\ deleted_at # Null => deleted_at' = deleted_at]_vars
T5 == [][Step(status # "ended" => /\ counts'["processing"] <= counts["processing"]
                                  /\ \A outcome \in Outcomes : counts[outcome] <= counts'[outcome])]_vars
T6 == [][status = "ended" => counts' = counts]_vars
T7 == [][results_url # Null /\ archived_at = Null /\ archived_at' = Null => results_url' = results_url]_vars

(***************************************************************************)
(* A batch ends.                                                           *)
(***************************************************************************)

Ends == status \in {"in_progress", "canceling"} ~> status = "ended"

=============================================================================
