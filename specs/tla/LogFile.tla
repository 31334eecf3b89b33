------------------------------ MODULE LogFile ------------------------------
(***************************************************************************)
(* Appending to a log file: writers that are stopped, disks that fail.     *)
(*                                                                         *)
(* A record is written in two pieces and a newline, so that a writer may   *)
(* be stopped in the middle of one.  What is written is in the system's    *)
(* memory until it is synced: it outlives its writer, but not the power.   *)
(*                                                                         *)
(* The promises of specs/log-format.md stand below the actions.            *)
(* specs/README.md says what is modelled and what is not.                  *)
(***************************************************************************)
EXTENDS Integers, Sequences

CONSTANTS
    Writers,    \* those of `Calls` that are made
    Faults,     \* how many times a writer is stopped, or the disk or the power fails
    Pieces,     \* how much of an old line the file may have at the start: 0 to 3 pieces; with 0 there is no file
    None        \* nobody

(***************************************************************************)
(* The records that each writer appends in one call.  The model does not   *)
(* look into records.                                                      *)
(***************************************************************************)
Calls == <<<<1, 2>>, <<3>>, <<4>>>>
Old == 5        \* a record that stands in the file from the start, perhaps

Newline == 0
First(r) == 2 * r - 1
Second(r) == 2 * r
Line(r) == <<First(r), Second(r), Newline>>
Lines(w) == IF Len(Calls[w]) = 1 THEN Line(Calls[w][1]) ELSE Line(Calls[w][1]) \o Line(Calls[w][2])

VARIABLES
    file,       \* the file, piece by piece, as every program sees it
    disk,       \* what of it is on the disk for sure
    named,      \* whether the name of the file is on the disk
    lock,       \* who has the lock
    call,       \* where each writer is: "idle", "locked", "writing", "synced", "failing", "failed" or "done"
    end,        \* where the good part of the file ends that each has found
    todo,       \* what each has still to write
    faults      \* how many may still come

vars == <<file, disk, named, lock, call, end, todo, faults>>

Prefix(f, n) == SubSeq(f, 1, n)

\* Where a line begins at place i, and where one may end.
Begins(f, i) == i = 1 \/ f[i - 1] = Newline
Stops(f, i) == i > Len(f) \/ f[i] = Newline

\* The records that can be read: lines that are whole.  The last may lack its newline.
IsRecord(f, i, r) ==
    /\ i + 1 <= Len(f)
    /\ f[i] = First(r) /\ f[i + 1] = Second(r)
    /\ Begins(f, i) /\ Stops(f, i + 2)
Readable(f) == {r \in 1..Old : \E i \in 1..Len(f) : IsRecord(f, i, r)}

\* Where the last line begins; behind the end if the file ends with a newline.
LastLine(f) == CHOOSE i \in 1..Len(f) + 1 : Begins(f, i) /\ \A j \in i..Len(f) : f[j] # Newline

Lacking(f) == \E r \in 1..Old : IsRecord(f, LastLine(f), r)     \* the last line is a record and lacks its newline
GoodEnd(f) == IF Lacking(f) THEN Len(f) ELSE LastLine(f) - 1    \* where a torn tail begins

\* How far the file and what is on the disk are the same.
Shared == CHOOSE n \in 0..Len(file) :
    /\ Prefix(file, n) = Prefix(disk, n)
    /\ n = Len(file) \/ n = Len(disk) \/ file[n + 1] # disk[n + 1]

-----------------------------------------------------------------------------

\* There is no file yet; or one that ends with a torn tail, or with a record that lacks its newline, or well.
Init ==
    /\ file \in {Prefix(Line(Old), n) : n \in Pieces}
    /\ disk = file
    /\ named = (file # <<>>)
    /\ lock = None
    /\ call = [w \in Writers |-> "idle"]
    /\ end = [w \in Writers |-> 0]
    /\ todo = [w \in Writers |-> <<>>]
    /\ faults = Faults

Go(w, place) == call' = [call EXCEPT ![w] = place]

Lock(w) ==
    /\ call[w] \in {"idle", "failed"}
    /\ lock = None
    /\ lock' = w
    /\ Go(w, "locked")
    /\ UNCHANGED <<file, disk, named, end, todo, faults>>

\* The look at the last line.  A torn tail is cut off; the name of a new file is put on the disk before its first record.
Look(w) ==
    /\ call[w] = "locked"
    /\ named' = (named \/ file = <<>>)
    /\ end' = [end EXCEPT ![w] = GoodEnd(file)]
    /\ file' = Prefix(file, GoodEnd(file))
    /\ todo' = [todo EXCEPT ![w] = IF Lacking(file) THEN <<Newline>> \o Lines(w) ELSE Lines(w)]
    /\ Go(w, "writing")
    /\ UNCHANGED <<disk, lock, faults>>

\* Each write goes to the end of the file, wherever that is by now.
Write(w) ==
    /\ call[w] = "writing" /\ todo[w] # <<>>
    /\ file' = Append(file, Head(todo[w]))
    /\ todo' = [todo EXCEPT ![w] = Tail(@)]
    /\ UNCHANGED <<disk, named, lock, call, end, faults>>

Sync(w) ==
    /\ call[w] = "writing" /\ todo[w] = <<>>
    /\ disk' = file
    /\ Go(w, "synced")
    /\ UNCHANGED <<file, named, lock, end, todo, faults>>

Acknowledge(w) ==
    /\ call[w] = "synced"
    /\ lock' = None
    /\ Go(w, "done")
    /\ UNCHANGED <<file, disk, named, end, todo, faults>>

\* What was written is taken back, and the caller told.  It tries again.
TakeBack(w) ==
    /\ call[w] = "failing"
    /\ file' = Prefix(file, end[w])
    /\ lock' = None
    /\ Go(w, "failed")
    /\ UNCHANGED <<disk, named, end, todo, faults>>

(***************************************************************************)
(* The faults.                                                             *)
(***************************************************************************)

Fault == faults > 0 /\ faults' = faults - 1

\* A write or a sync fails: no room, an I/O error.
Fail(w) ==
    /\ Fault
    /\ call[w] = "writing"
    /\ Go(w, "failing")
    /\ UNCHANGED <<file, disk, named, lock, end, todo>>

\* A writer is stopped; so is one that cannot take back what it has written.  It is started again.
Kill(w) ==
    /\ Fault
    /\ call[w] \in {"locked", "writing", "synced", "failing"}
    /\ lock' = None
    /\ Go(w, "idle")
    /\ UNCHANGED <<file, disk, named, end, todo>>

\* The power fails: of what is not on the disk for sure any part may be lost, the last of it first.
PowerCut ==
    /\ Fault
    /\ file' \in IF named THEN {disk} \union {Prefix(file, n) : n \in Shared..Len(file)} ELSE {<<>>}
    /\ disk' = file'
    /\ lock' = None
    /\ call' = [w \in Writers |-> IF call[w] = "done" THEN "done" ELSE "idle"]
    /\ UNCHANGED <<named, end, todo>>

-----------------------------------------------------------------------------

\* The system writes to the disk when it likes, too.
Flush ==
    /\ disk # file
    /\ disk' = file
    /\ UNCHANGED <<file, named, lock, call, end, todo, faults>>

Work(w) == Lock(w) \/ Look(w) \/ Write(w) \/ Sync(w) \/ Acknowledge(w) \/ TakeBack(w)

Next == Flush \/ PowerCut \/ \E w \in Writers : Work(w) \/ Fail(w) \/ Kill(w)

Spec == Init /\ [][Next]_vars /\ \A w \in Writers : WF_vars(Work(w))

-----------------------------------------------------------------------------
(***************************************************************************)
(* The promises.                                                           *)
(***************************************************************************)

\* What has been acknowledged can be read.
Kept == \A w \in Writers : call[w] = "done" => \A i \in 1..Len(Calls[w]) : Calls[w][i] \in Readable(file)

\* A record that stood in the file stays there, through every fault.
Stays == [][(Old \in Readable(file)) => (Old \in Readable(file'))]_vars

\* Whoever reads, and whenever, finds whole lines, and behind the last newline a torn tail at worst.
Whole == \A i \in 1..Len(file) : file[i] = Newline => \E r \in 1..Old : i > 2 /\ IsRecord(file, i - 2, r)

\* A call that fails, and may take back what it has written, changes nothing.
Refused == [][\A w \in Writers : call[w] = "failing" /\ call'[w] = "failed" => Len(file') = end[w]]_vars

\* Every writer comes to an end.
Ends == \A w \in Writers : <>(call[w] = "done")

=============================================================================
