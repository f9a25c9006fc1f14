(* SPDX-License-Identifier: Apache-2.0 *)
(** What is proven of docs/theory.md, section 4, by its equation numbers: definitions, then statements, proven as
    ProblemStatement.v says. One layer and one batch; sets of experts are functions to [bool]. *)

From Coq Require Import Reals Arith Bool.
From Thermoe Require Export Finite.
Open Scope R_scope.

(** * The rule that runs *)

Record batch := {
  tokens : nat;  experts : nat;
  k : nat;  k_min : nat;
  own : nat -> nat -> bool;     (* e ∈ O_t *)
  score : nat -> nat -> R;      (* v - b of token and expert, by which tokens pick *)
  loss : nat -> R;              (* of (7); here only that it does not know λ *)
  cost : nat -> R               (* a_e s_ℓ *)
}.

Definition sound (b : batch) : Prop :=
  (k_min b <= k b)%nat /\ forall e, (e < experts b)%nat -> 0 <= loss b e /\ 0 <= cost b e.

Definition set := nat -> bool.
Definition all : set := fun _ => true.

(** Token t likes e better than f. Ties: lowest id. *)
Definition better (b : batch) (t e f : nat) : bool :=
  if Rlt_dec (score b t f) (score b t e) then true
  else if Req_EM_T (score b t e) (score b t f) then (e <? f)%nat else false.

(** How many of its own in S the token likes better than f; its j best of S. *)
Definition rank (b : batch) (S : set) (t f : nat) : nat :=
  count (experts b) (fun e => S e && own b t e && better b t e f).
Definition best (b : batch) (j : nat) (S : set) (t e : nat) : bool := S e && own b t e && (rank b S t e <? j)%nat.

(** Union over the batch of the tokens' j best: U and G of (6) for j = k and k_min. *)
Definition union (b : batch) (j : nat) : set := fun e => (0 <? count (tokens b) (fun t => best b j all t e))%nat.

(** (8), (9), and D. *)
Definition active (b : batch) (lambda : R) : set := fun e =>
  union b (k_min b) e || (union b (k b) e && if Rle_dec (lambda * cost b e) (loss b e) then true else false).
Definition runs (b : batch) (lambda : R) (t e : nat) : bool := best b (k b) (active b lambda) t e.
Definition active_count (b : batch) (lambda : R) : nat := count (experts b) (active b lambda).

(** OPPORTUNISTIC with k0 = k_min: a token keeps its k0 best, then the best of what others keep fills it up to k. *)
Definition fills (b : batch) (t e : nat) : bool :=
  union b (k_min b) e && own b t e && negb (best b (k_min b) all t e).
Definition opportunistic (b : batch) (t e : nat) : bool :=
  best b (k_min b) all t e ||
  (fills b t e &&
   (count (experts b) (best b (k_min b) all t) +
    count (experts b) (fun f => fills b t f && better b t f e) <? k b)%nat).

(** f(S) = Σ_t (sum of the token's k largest scores in S), where [score] is u: what active experts S keep. *)
Definition kept (b : batch) (S : set) : R :=
  sum2 (tokens b) (experts b) (fun t e => if best b (k b) S t e then score b t e else 0).

(** * Statements *)

Definition Active_sets_are_nested : Prop := forall b low high e,
  sound b -> low <= high -> (e < experts b)%nat -> active b high e = true -> active b low e = true.

Definition Active_count_never_rises : Prop := forall b low high,
  sound b -> low <= high -> (active_count b high <= active_count b low)%nat.

(** So D is what runs, not only what may run. *)
Definition Active_experts_run : Prop := forall b lambda e,
  sound b -> (e < experts b)%nat -> active b lambda e = true ->
  exists t, (t < tokens b)%nat /\ runs b lambda t e = true.

Definition Without_price_the_baseline_runs : Prop := forall b lambda t e,
  sound b -> lambda = 0 \/ k_min b = k b -> (t < tokens b)%nat -> (e < experts b)%nat ->
  runs b lambda t e = best b (k b) all t e.

(** A price above every loss is OPPORTUNISTIC. *)
Definition Infinite_price_is_opportunistic : Prop := forall b lambda t e,
  sound b -> (forall f, (f < experts b)%nat -> loss b f < lambda * cost b f) -> (t < tokens b)%nat ->
  (e < experts b)%nat -> runs b lambda t e = opportunistic b t e.

Definition Kept_is_monotone : Prop := forall b S T,
  (forall t e, 0 <= score b t e) -> (forall e, S e = true -> T e = true) -> kept b S <= kept b T.

Definition Kept_is_submodular : Prop := forall b S T, (forall t e, 0 <= score b t e) ->
  kept b (fun e => S e || T e) + kept b (fun e => S e && T e) <= kept b S + kept b T.
