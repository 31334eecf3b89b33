------------------------------- MODULE Append -------------------------------
(***************************************************************************)
(* Appending to a store: several writers, one database, one reader.        *)
(*                                                                         *)
(* A writer loads a stream's version and asks for an append that expects   *)
(* it.  Its transaction takes the lock, looks at what is there, puts the   *)
(* rows and commits.  Anything may be cut short: a connection is lost      *)
(* while its transaction goes on, a transaction is ended by the database,  *)
(* the power fails.  A writer that does not know what became of its commit *)
(* asks again, under the same event ids.                                   *)
(*                                                                         *)
(* The promises of specs/stores.md stand below the actions.                *)
(* specs/README.md says what is modelled and what is not.                  *)
(***************************************************************************)
EXTENDS Integers, Sequences, FiniteSets

CONSTANTS
    Writers,    \* those of `Calls` that are made
    Faults,     \* how many times something is cut short
    Careless,   \* whether a writer may expect any version, and not only the one that it has loaded
    None        \* nobody, or no transaction

(***************************************************************************)
(* What each writer is to append: to which stream, which facts, under      *)
(* which event ids.  An impossible fact is one that the fold refuses.      *)
(***************************************************************************)
Call(stream, ids, facts) == [stream |-> stream, ids |-> ids, facts |-> facts]

Calls == <<
    Call("a", <<1, 2>>, <<"sent", "canceled">>),
    Call("a", <<3>>, <<"counted">>),
    Call("b", <<4>>, <<"sent">>),
    Call("a", <<3>>, <<"counted">>),                \* 4: the same as 2, asked for by another
    Call("a", <<3>>, <<"ended">>),                  \* 5: under an id that is taken, or will be
    Call("a", <<5, 6>>, <<"ended", "impossible">>), \* 6: the first would do, the second does not
    Call("a", <<3, 7>>, <<"counted", "ended">>)     \* 7: the same as 2, and one more
    >>

VARIABLES
    \* The database.
    rows,       \* what is committed, in the order of the commits
    synced,     \* how many of them are on the disk
    lock,       \* whose transaction has the lock
    tx,         \* each writer's transaction: none, "open", "committing" or "committed"
    staged,     \* and its rows, which nobody else sees
    \* The writers.
    call,       \* where each is: "idle", "ready", "asked", "unknown", "done" or "refused"
    expected,   \* the version that each has loaded
    \* The reader, who follows by position.
    seen,       \* the last position that it has read
    read,       \* the rows that it has read
    \* The world.
    faults      \* how many may still come

vars == <<rows, synced, lock, tx, staged, call, expected, seen, read, faults>>

Stream(s) == LET of(row) == row.stream = s IN SelectSeq(rows, of)
Version(s) == Len(Stream(s))
Last(w) == Version(Calls[w].stream)
Places(w) == 1..Len(Calls[w].ids)
Committed == {rows[i] : i \in 1..Len(rows)}

\* The rows in the writer's stream that have its event id at a place, and those that say what it has to say there.
Found(w, place) == {row \in Committed : row.stream = Calls[w].stream /\ row.id = Calls[w].ids[place]}
Written(w, place) == {row \in Committed : row.stream = Calls[w].stream /\ row.fact = Calls[w].facts[place]}

Known(w) == {place \in Places(w) : Found(w, place) # {}}
New(w) == LET new(place) == place \notin Known(w) IN SelectSeq([place \in Places(w) |-> place], new)
Taken(w) == \E place \in Known(w) : \A row \in Found(w, place) : row.fact # Calls[w].facts[place]
Impossible(w) == \E place \in Places(w) : Calls[w].facts[place] = "impossible"

\* What is known of the call has moved the stream on: the rest then follows, as if it had been one append.
Expected(w) == expected[w] + Cardinality(Known(w))

\* The rows to write: one for each place that is new.
Row(w, i) ==
    [stream |-> Calls[w].stream, version |-> Expected(w) + i, position |-> Len(rows) + i,
     id |-> Calls[w].ids[New(w)[i]], fact |-> Calls[w].facts[New(w)[i]], writer |-> w, expected |-> Expected(w)]

-----------------------------------------------------------------------------

Init ==
    /\ rows = <<>> /\ synced = 0 /\ lock = None
    /\ tx = [w \in Writers |-> None] /\ staged = [w \in Writers |-> <<>>]
    /\ call = [w \in Writers |-> "idle"] /\ expected = [w \in Writers |-> 0]
    /\ seen = 0 /\ read = {}
    /\ faults = Faults

Load(w) ==
    /\ call[w] = "idle"
    /\ \E version \in IF Careless THEN 0..Last(w) + 1 ELSE {Last(w)} :
        expected' = [expected EXCEPT ![w] = version]
    /\ call' = [call EXCEPT ![w] = "ready"]
    /\ UNCHANGED <<rows, synced, lock, tx, staged, seen, read, faults>>

Begin(w) ==
    /\ call[w] = "ready"
    /\ lock = None
    /\ lock' = w
    /\ tx' = [tx EXCEPT ![w] = "open"]
    /\ call' = [call EXCEPT ![w] = "asked"]
    /\ UNCHANGED <<rows, synced, staged, expected, seen, read, faults>>

\* The transaction is taken back, and the writer told so.
RollBack(w, answer) ==
    /\ tx' = [tx EXCEPT ![w] = None]
    /\ lock' = None
    /\ call' = [call EXCEPT ![w] = answer]
    /\ UNCHANGED <<rows, synced, staged, expected, seen, read, faults>>

(***************************************************************************)
(* What the look at what is there comes to.  The event ids come before the *)
(* version, for who asks again expects an old one; the rules come last.    *)
(***************************************************************************)
Answer(w) ==
    IF Taken(w) THEN "taken"
    ELSE IF Known(w) = Places(w) THEN "repeated"
    ELSE IF Expected(w) # Last(w) THEN "conflict"
    ELSE IF Impossible(w) THEN "impossible"
    ELSE "good"

Answered(w, answers) == call[w] = "asked" /\ tx[w] = "open" /\ Answer(w) \in answers

Repeat(w) == Answered(w, {"repeated"}) /\ RollBack(w, "done")
Refuse(w) == Answered(w, {"taken", "impossible"}) /\ RollBack(w, "refused")
Conflict(w) == Answered(w, {"conflict"}) /\ RollBack(w, "idle")  \* and the writer loads again

Stage(w) ==
    /\ Answered(w, {"good"})
    /\ staged' = [staged EXCEPT ![w] = [i \in 1..Len(New(w)) |-> Row(w, i)]]
    /\ tx' = [tx EXCEPT ![w] = "committing"]
    /\ UNCHANGED <<rows, synced, lock, call, expected, seen, read, faults>>

\* Whether the writer still listens or not.
Commit(w) ==
    /\ tx[w] = "committing"
    /\ rows' = rows \o staged[w]
    /\ synced' = Len(rows')
    /\ staged' = [staged EXCEPT ![w] = <<>>]
    /\ tx' = [tx EXCEPT ![w] = "committed"]
    /\ lock' = None
    /\ UNCHANGED <<call, expected, seen, read, faults>>

Acknowledge(w) ==
    /\ call[w] = "asked" /\ tx[w] = "committed"
    /\ tx' = [tx EXCEPT ![w] = None]
    /\ call' = [call EXCEPT ![w] = "done"]
    /\ UNCHANGED <<rows, synced, lock, staged, expected, seen, read, faults>>

\* The writer asks again: as before if it still knows what it asked, from the beginning if it has been started anew.
Retry(w) ==
    /\ call[w] = "unknown"
    /\ \E again \in {"ready", "idle"} : call' = [call EXCEPT ![w] = again]
    /\ UNCHANGED <<rows, synced, lock, tx, staged, expected, seen, read, faults>>

\* The database ends the transaction of a writer that has gone before it asked for the commit.
Close(w) ==
    /\ tx[w] = "open" /\ call[w] # "asked"
    /\ RollBack(w, call[w])

(***************************************************************************)
(* The faults.                                                             *)
(***************************************************************************)

Fault == faults > 0 /\ faults' = faults - 1

\* The writer is stopped, or its connection is lost; its transaction lives on.
Lose(w) ==
    /\ Fault
    /\ call[w] = "asked"
    /\ call' = [call EXCEPT ![w] = "unknown"]
    /\ UNCHANGED <<rows, synced, lock, tx, staged, expected, seen, read>>

\* The database ends the transaction: no room on the disk, an administrator.
Abort(w) ==
    /\ Fault
    /\ tx[w] \in {"open", "committing"}
    /\ tx' = [tx EXCEPT ![w] = None]
    /\ staged' = [staged EXCEPT ![w] = <<>>]
    /\ lock' = None
    /\ call' = IF call[w] = "asked" THEN [call EXCEPT ![w] = "unknown"] ELSE call
    /\ UNCHANGED <<rows, synced, expected, seen, read>>

\* The power fails: what is not on the disk may be lost, the last of it first.
PowerCut ==
    /\ Fault
    /\ \E kept \in synced..Len(rows) : rows' = SubSeq(rows, 1, kept)
    /\ synced' = Len(rows')
    /\ tx' = [w \in Writers |-> None]
    /\ staged' = [w \in Writers |-> <<>>]
    /\ lock' = None
    /\ call' = [w \in Writers |-> IF call[w] = "asked" THEN "unknown" ELSE call[w]]
    /\ UNCHANGED <<expected, seen, read>>

-----------------------------------------------------------------------------

Read ==
    /\ \E row \in Committed :
        /\ seen < row.position
        /\ \A other \in Committed : seen < other.position => row.position <= other.position
        /\ seen' = row.position
        /\ read' = read \union {row}
    /\ UNCHANGED <<rows, synced, lock, tx, staged, call, expected, faults>>

Work(w) ==
    \/ Load(w) \/ Begin(w)
    \/ Repeat(w) \/ Refuse(w) \/ Conflict(w) \/ Stage(w)
    \/ Commit(w) \/ Acknowledge(w) \/ Retry(w) \/ Close(w)

Next == Read \/ PowerCut \/ \E w \in Writers : Work(w) \/ Lose(w) \/ Abort(w)

Spec == Init /\ [][Next]_vars /\ \A w \in Writers : WF_vars(Work(w))

-----------------------------------------------------------------------------
(***************************************************************************)
(* The promises.                                                           *)
(***************************************************************************)

\* What has been acknowledged is there, and so is what a reader has seen.
Kept ==
    /\ \A w \in Writers : call[w] = "done" => \A place \in Places(w) : Written(w, place) # {}
    /\ read \subseteq Committed

\* A call is written whole or not at all.
Whole == \A row \in Committed : \A place \in Places(row.writer) : Written(row.writer, place) # {}

\* No fact is written twice, however often it was asked for.
Once == \A i, j \in 1..Len(rows) : rows[i].stream = rows[j].stream /\ rows[i].fact = rows[j].fact => i = j

\* L3: the versions of a stream are 1, 2, 3 ...
L3 == \A s \in {"a", "b"} : \A i \in 1..Version(s) : Stream(s)[i].version = i

\* L4: an event id stands once in a stream.
L4 == \A i, j \in 1..Len(rows) : rows[i].stream = rows[j].stream /\ rows[i].id = rows[j].id => i = j

\* Of the calls that expect one version of a stream, one is written.
Winner ==
    \A one, other \in Committed :
        one.stream = other.stream /\ one.expected = other.expected => one.writer = other.writer

\* Positions are 1, 2, 3 ... in the order of the commits.
Positions == \A i \in 1..Len(rows) : rows[i].position = i

\* Who follows by position misses nothing: what it has passed it has read.
Follows == \A row \in Committed : row.position <= seen => row \in read

\* A call that is refused changes nothing, neither now nor later.
Refused ==
    [][\A w \in Writers : call[w] = "asked" /\ call'[w] \in {"refused", "idle"} =>
        rows' = rows /\ staged'[w] = <<>> /\ tx'[w] = None]_vars

\* Every writer comes to an end.
Ends == \A w \in Writers : <>(call[w] \in {"done", "refused"})

=============================================================================
