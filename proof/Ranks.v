(* SPDX-License-Identifier: Apache-2.0 *)
(** Counts, and ranks in a token's order of experts. *)
From Coq Require Import Reals Arith Bool Lra Lia.
From Thermoe Require Import PricingStatement.
Open Scope nat_scope.

Lemma count_le n f g : (forall i, i < n -> f i = true -> g i = true) -> count n f <= count n g.
Proof.
  induction n as [| n IH]; simpl; intros H; [lia |].
  pose proof (IH ltac:(intros; apply H; auto)). destruct (f n) eqn:E; [| lia].
  rewrite (H n) by (auto; lia). lia.
Qed.

Lemma count_ext n f g : (forall i, i < n -> f i = g i) -> count n f = count n g.
Proof. intros H. apply Nat.le_antisymm; apply count_le; intros i Hi; rewrite H; auto. Qed.

(** One more that only g has. *)
Lemma count_lt n f g i :
  (forall j, j < n -> f j = true -> g j = true) -> i < n -> f i = false -> g i = true -> count n f < count n g.
Proof.
  induction n as [| n IH]; simpl; intros H Hi F G; [lia |].
  destruct (Nat.eq_dec i n) as [-> | D].
  - rewrite F, G. pose proof (count_le n f g ltac:(intros; apply H; auto)). lia.
  - pose proof (IH ltac:(intros; apply H; auto) ltac:(lia) F G). destruct (f n) eqn:E; [| lia].
    rewrite (H n) by (auto; lia). lia.
Qed.

Lemma count_positive n f : 0 < count n f <-> exists i, i < n /\ f i = true.
Proof.
  induction n as [| n IH]; simpl; [split; [lia | intros (i & H & _); lia] |].
  split.
  - intros H. destruct (f n) eqn:E; [exists n; auto |].
    destruct (proj1 IH ltac:(lia)) as (i & Hi & Fi). exists i. auto.
  - intros (i & Hi & Fi). destruct (Nat.eq_dec i n) as [-> | D]; [rewrite Fi; lia |].
    enough (0 < count n f) by lia. apply IH. exists i. split; [lia | exact Fi].
Qed.

Lemma count_split n f g h :
  (forall i, i < n -> f i = g i || h i) -> (forall i, i < n -> g i && h i = false) -> count n f = count n g + count n h.
Proof.
  induction n as [| n IH]; simpl; intros H D; [lia |].
  rewrite (IH ltac:(intros; apply H; auto) ltac:(intros; apply D; auto)), (H n) by lia.
  pose proof (D n ltac:(lia)) as Q. destruct (g n), (h n); simpl in *; try discriminate Q; lia.
Qed.

Section Token.
Variables (b : batch) (t : nat).
Notation "e >> f" := (better b t e f) (at level 70).

Lemma better_irreflexive e : (e >> e) = false.
Proof.
  unfold better. destruct (Rlt_dec _ _) as [H | _]; [destruct (Rlt_irrefl _ H) |].
  destruct (Req_EM_T _ _); [apply Nat.ltb_irrefl | reflexivity].
Qed.

Lemma better_score e f : (e >> f) = true -> (score b t f <= score b t e)%R.
Proof. unfold better. destruct (Rlt_dec _ _); [lra |]. destruct (Req_EM_T _ _); [lra | discriminate]. Qed.

Lemma better_transitive e f g : (e >> f) = true -> (f >> g) = true -> (e >> g) = true.
Proof.
  unfold better. intros A B.
  destruct (Rlt_dec (score b t f) (score b t e)), (Rlt_dec (score b t g) (score b t f)),
    (Rlt_dec (score b t g) (score b t e)); try reflexivity; try lra;
    destruct (Req_EM_T (score b t e) (score b t f)), (Req_EM_T (score b t f) (score b t g)),
      (Req_EM_T (score b t e) (score b t g)); try discriminate; try lra.
  apply Nat.ltb_lt in A, B. apply Nat.ltb_lt. lia.
Qed.

Lemma better_total e f : e <> f -> (e >> f) = false -> (f >> e) = true.
Proof.
  unfold better. intros D A.
  destruct (Rlt_dec (score b t f) (score b t e)); [discriminate |].
  destruct (Rlt_dec (score b t e) (score b t f)); [reflexivity |].
  destruct (Req_EM_T (score b t e) (score b t f)); [| lra].
  destruct (Req_EM_T (score b t f) (score b t e)); [| lra].
  apply Nat.ltb_ge in A. apply Nat.ltb_lt. lia.
Qed.

Lemma rank_below S e f : e < experts b -> S e && own b t e = true -> (e >> f) = true -> rank b S t e < rank b S t f.
Proof.
  intros He Se A. apply (count_lt _ _ _ e); [| exact He | |].
  - intros g Hg. rewrite !andb_true_iff. intros [M B]. split; [exact M | now apply better_transitive with e].
  - rewrite better_irreflexive, andb_false_r. reflexivity.
  - rewrite Se, A. reflexivity.
Qed.

Lemma rank_grows S T f : (forall e, e < experts b -> S e = true -> T e = true) -> rank b S t f <= rank b T t f.
Proof.
  intros H. apply count_le. intros e He. rewrite !andb_true_iff. intros [[A B] C]. auto.
Qed.

Lemma best_spec j S e : best b j S t e = true <-> S e = true /\ own b t e = true /\ rank b S t e < j.
Proof. unfold best. rewrite !andb_true_iff, Nat.ltb_lt. tauto. Qed.

(** What is picked is better than what is not. *)
Lemma best_is_better j S e f : f < experts b -> best b j S t e = true -> best b j S t f = false ->
  S f = true -> own b t f = true -> (e >> f) = true.
Proof.
  rewrite best_spec. intros Hf (_ & _ & R) F Sf Of.
  assert (j <= rank b S t f) as G.
  { unfold best in F. rewrite Sf, Of in F. simpl in F. now apply Nat.ltb_ge. }
  destruct (e >> f) eqn:A; [reflexivity |].
  assert (e <> f) as D by (intros ->; lia).
  pose proof (better_total e f D A) as B.
  pose proof (rank_below S f e Hf ltac:(rewrite Sf, Of; reflexivity) B). lia.
Qed.

(** Where j or more are better than f, the j best are among them. *)
Lemma j_best_before j S f : j <= rank b S t f ->
  j <= count (experts b) (fun e => best b j S t e && (e >> f)).
Proof.
  remember (rank b S t f) as r eqn:E. revert f E. induction r as [r IH] using lt_wf_ind. intros f -> Hj.
  destruct (count (experts b) (fun e => S e && own b t e && (e >> f) && (j <=? rank b S t e))) as [| c] eqn:C.
  - etransitivity; [exact Hj |]. apply count_le. intros e He. rewrite !andb_true_iff. intros [[Se Oe] A].
    split; [| exact A]. apply best_spec. repeat split; auto. apply Nat.lt_nge. intros L.
    enough (0 < 0) by lia. rewrite <- C at 2. apply count_positive. exists e. split; [exact He |].
    rewrite Se, Oe, A. simpl. now apply Nat.leb_le.
  - match type of C with ?n = _ => assert (0 < n) as P by lia end. apply count_positive in P.
    destruct P as (e & He & M).
    rewrite !andb_true_iff in M. destruct M as [[[Se Oe] A] L]. apply Nat.leb_le in L.
    pose proof (rank_below S e f He ltac:(rewrite Se, Oe; reflexivity) A) as R.
    etransitivity; [exact (IH _ R e eq_refl L) |]. apply count_le. intros g Hg. rewrite !andb_true_iff.
    intros [B G]. split; [exact B | now apply better_transitive with e].
Qed.

Lemma best_count S f j : f < experts b -> S f = true -> own b t f = true -> best b j S t f = false ->
  j <= count (experts b) (best b j S t).
Proof.
  intros Hf Sf Of F. etransitivity; [apply (j_best_before j S f) | apply count_le].
  - unfold best in F. rewrite Sf, Of in F. simpl in F. now apply Nat.ltb_ge.
  - intros e He. rewrite andb_true_iff. tauto.
Qed.

Lemma best_at_most j S : count (experts b) (best b j S t) <= j.
Proof.
  destruct (Nat.le_gt_cases (count (experts b) (best b j S t)) j) as [H | H]; [exact H | exfalso].
  (* The last of them by rank would have j before it. *)
  enough (exists f, f < experts b /\ best b j S t f = true /\
    forall e, e < experts b -> best b j S t e = true -> e = f \/ (e >> f) = true) as (f & Hf & Bf & L).
  { pose proof (proj1 (best_spec j S f) Bf) as (Sf & Of & R).
    assert (count (experts b) (best b j S t) <= rank b S t f + 1); [| lia].
    rewrite (count_split _ (best b j S t) (fun e => best b j S t e && negb (e =? f)) (fun e => e =? f)).
    - assert (forall n, count n (fun e => e =? f) <= 1) as One.
      { induction n as [| n IH]; simpl; [lia |]. destruct (Nat.eqb_spec n f) as [-> | ]; [| lia].
        rewrite (count_ext f _ (fun _ => false)); [clear; induction f; simpl; lia |].
        intros i Hi. apply Nat.eqb_neq. lia. }
      pose proof (One (experts b)).
      enough (count (experts b) (fun e => best b j S t e && negb (e =? f)) <= rank b S t f) by lia.
      apply count_le. intros e He. rewrite andb_true_iff, negb_true_iff, Nat.eqb_neq. intros [B D].
      destruct (L e He B) as [Q | A]; [contradiction |]. apply best_spec in B. destruct B as (Se & Oe & _).
      rewrite Se, Oe, A. reflexivity.
    - intros e He. destruct (Nat.eqb_spec e f) as [-> | ]; rewrite ?Bf; simpl;
        rewrite ?andb_true_r, ?orb_false_r; reflexivity.
    - intros e He. destruct (Nat.eqb_spec e f); simpl; rewrite ?andb_false_r; reflexivity. }
  revert H. generalize (best b j S t) as B. generalize (experts b) as n. intros n B H.
  assert (0 < count n B) as P by lia. clear H. induction n as [| n IH]; simpl in P; [lia |].
  destruct (count n B) as [| c] eqn:C.
  - destruct (B n) eqn:Bn; [| simpl in P; lia]. exists n. repeat split; [lia | exact Bn |]. intros e He Be.
    destruct (Nat.eq_dec e n) as [-> | D]; [now left | exfalso].
    enough (0 < 0) by lia. rewrite <- C at 2. apply count_positive. exists e. split; [lia | exact Be].
  - destruct (IH ltac:(lia)) as (f & Hf & Bf & L). destruct (B n) eqn:Bn.
    + destruct (n >> f) eqn:A.
      * exists f. repeat split; [lia | exact Bf |]. intros e He Be.
        destruct (Nat.eq_dec e n) as [-> | D]; [now right | apply L; [lia | exact Be]].
      * exists n. repeat split; [lia | exact Bn |]. intros e He Be.
        destruct (Nat.eq_dec e n) as [-> | D]; [now left | right].
        pose proof (better_total n f ltac:(lia) A) as FN.
        destruct (L e ltac:(lia) Be) as [-> | EF]; [exact FN | now apply better_transitive with f].
    + exists f. repeat split; [lia | exact Bf |]. intros e He Be.
      destruct (Nat.eq_dec e n) as [-> | D]; [congruence | apply L; [lia | exact Be]].
Qed.
End Token.

Lemma union_spec b j e : union b j e = true <-> exists t, t < tokens b /\ best b j all t e = true.
Proof. unfold union. rewrite Nat.ltb_lt. apply count_positive. Qed.
